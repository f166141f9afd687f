-- Compare members of a tenant's lists with the records that they stand for, at one moment; take strangers out on request.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 '1' to take them out, 4… list, member of each thing to look at. A list is 'sessions',
--       'open', 'ended' (session, space, user), 'timers', 'user' (member: user, space, session), 'batches', 'items' (the waiting items of open batches),
--       'window' (batch, space, place), 'schedules', 'due', 'failed', 'cancelled', 'partial', 'parked' (an entry), 'first' (a
--       user, whose task in the lanes it names) or 'behind' (user, space, task)
-- Returns: of each stranger {list, member, what is wrong}
-- Complexity: O(things)
--!include common/tenant
--!include common/events
--!include common/isolate
--!include sessions/sessions
--!include tasks/queue
--!include tasks/schedules
local FIRST, takes_out = 4, ARGV[3] == '1'
local LIVE = {pending = true, processing = true, retrying = true, waiting = true}
local CLOSED = {TERMINATED = true, ARCHIVED = true, FAILED = true}

local function out(command, key, member)
  if takes_out then redis.call(command, key, member) end
  return true
end

-- Part 'one other'.
local function parted(member) return string.match(member, '^(%S+) (.+)$') end

-- What is wrong with a record itself is told of the record.
local function session_in(list, id, is_stranger)
  if not redis.call('ZSCORE', list, id) then return nil end
  local state, user = unpack(redis.call('HMGET', session_key(id), 'state', 'user_id'))
  if not state and redis.call('EXISTS', session_key(id)) == 1 then return nil end
  local wrong = not state and 'has no record' or is_stranger and is_stranger(state, user)
  return wrong and out('ZREM', list, id) and wrong
end

local function is_closed(state) return CLOSED[state] and 'has ended' end

local function record_in(list, id, record)
  if not redis.call('ZSCORE', list, id) or redis.call('EXISTS', record) == 1 then return nil end
  return out('ZREM', list, id) and 'has no record'
end

local function ended_in(status, id)
  local list = INDEX .. ':' .. status
  if not redis.call('ZSCORE', list, id) then return nil end
  local held = redis.call('HGET', task_key(id), 'status')
  if held == status then return nil end
  return out('ZREM', list, id) and (held and 'is ' .. held or 'has no record')
end

local look = {}

function look.sessions(id) return session_in(SESSIONS, id) end
function look.open(id) return session_in(OPEN, id, is_closed) end
function look.timers(id) return session_in(TIMERS, id, is_closed) end

-- At its moment all that is left of an ended session is deleted.
function look.ended(member)
  if not redis.call('ZSCORE', ENDED, member) then return nil end
  local id, user = string.match(member, '^(%S+) (.*)$')
  local state = id and redis.call('HGET', session_key(id), 'state')
  if state and CLOSED[state] then return nil end
  return out('ZREM', ENDED, member) and (state and 'is open' or not id and 'is no session' or 'has no record')
end

function look.user(member)
  local user, id = parted(member)
  return session_in(SESSIONS .. ':user:' .. user, id, function(_, owner)
    return owner and owner ~= user and "is another user's"
  end)
end

function look.batches(id) return record_in(BATCHES, id, batch_key(id)) end
function look.schedules(id) return record_in(SCHEDULES, id, schedule_key(id)) end
function look.due(id) return record_in(SCHEDULES_DUE, id, schedule_key(id)) end
function look.failed(id) return ended_in('failed', id) end
function look.cancelled(id) return ended_in('cancelled', id) end
function look.partial(id) return ended_in('partial', id) end

function look.items(id)
  if redis.call('HEXISTS', BATCHES .. ':waiting', id) == 0 or redis.call('EXISTS', batch_key(id)) == 1 then return nil end
  return out('HDEL', BATCHES .. ':waiting', id) and 'has no record'
end

-- An item that is no task any more, and did not end, never will.
function look.window(member)
  local id, place = parted(member)
  local batch = batch_key(id)
  local status, started = unpack(redis.call('HMGET', batch, 'status', 'started'))
  if status ~= 'running' and status ~= 'stopping' then return nil end
  if redis.call('SISMEMBER', batch .. ':window', place) == 0 then return nil end
  local is_live = LIVE[redis.call('HGET', task_key(id .. '.' .. place), 'status') or ''] or false
  if is_live then return nil end
  if not takes_out then return 'is no task that waits or runs' end
  redis.call('SREM', batch .. ':window', place)
  local number = tonumber(place)
  if number and number < tonumber(started) and redis.call('HEXISTS', batch .. ':results', place) == 0 then
    redis.call('HSET', batch .. ':results', place, '{"status":"failed","attempt":0,"started_at":null,"finished_at":' ..
      NOW .. ',"result":null,"error":null}')
    redis.call('HINCRBY', batch, 'failed', 1)
    -- It has held a place that the next one may take.
    next_item(id)
  end
  end_batch(id)
  return 'is no task that waits or runs'
end

function look.parked(entry)
  local item = redis.call('XRANGE', PARKED, entry, entry)[1]
  if not item then return nil end
  local fields = item[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' and redis.call('HGET', task_key(fields[i + 1]), 'parked') == entry then return nil end
  end
  return out('XDEL', PARKED, entry) and 'is no task that is parked'
end

function look.first(user)
  local id = user ~= '' and redis.call('HGET', USERS, user)
  if not id or redis.call('HGET', task_key(id), 'turn_of_user') == user then return nil end
  if takes_out then
    leave_user(id, user)
    -- The user's next task, which takes its place, may be one that is not there either.
    if redis.call('HGET', USERS, user) == id then redis.call('HDEL', USERS, user) end
  end
  return 'has a task in the lanes that is not there'
end

function look.behind(member)
  local user, id = parted(member)
  if not redis.call('LPOS', user_list(user), id) or redis.call('HGET', task_key(id), 'turn_of_user') == user then return nil end
  if takes_out then
    local removed = redis.call('LREM', user_list(user), 0, id)
    if redis.call('HEXISTS', USERS, '') == 1 then redis.call('HINCRBY', USERS, '', -removed) end
  end
  return 'is no task that waits for its user'
end

local found = {}
for i = FIRST, #ARGV, 2 do
  local list, member = ARGV[i], ARGV[i + 1]
  local is_read, wrong = isolate(look[list], member)
  -- What can't be read is told by others.
  if is_read and wrong then found[#found + 1] = {list, member, wrong} end
end
return found
