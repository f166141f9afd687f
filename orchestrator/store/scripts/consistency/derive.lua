-- Compare what follows from the records of a tenant (lists, counts, timers) with what is there, at one moment; mend it on
-- request.
-- KEYS: 1 the tenant's queue, 2 the tenant's schedules that are due
-- ARGV: 1 tenant, 2 events kept, 3 '1' to mend, 4… kind, subject of each thing to look at
-- Returns: of each that is wrong {kind, subject, what is wrong}
-- Complexity: O(things · what they are counted from)
--!include common/tenant
--!include common/isolate
--!include sessions/sessions
--!include tasks/users
--!include tasks/schedules
local FIRST, mends = 4, ARGV[3] == '1'
local BATCHES = 'orchestrator:batches:' .. TENANT
local CLOSED = {TERMINATED = true, ARCHIVED = true, FAILED = true}
local ENDED = {completed = true, failed = true, cancelled = true, partial = true}
local WRITTEN = {failed = true, cancelled = true, partial = true}
local IDLE = {CREATED = true, ACTIVE = true, ERROR = true, PAUSED = true}

local function number(text) return tonumber(text or 0) or 0 end

-- Have a figure of a hash be what it is counted to be; '' stands for a figure that is 0 and not there.
local function figure(key, field, right)
  local held = redis.call('HGET', key, field)
  if number(held) == right and (held or right == 0) then return nil end
  if mends then
    if right == 0 and field ~= '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, right) end
  end
  return (held or 'nothing') .. ' instead of ' .. right
end

-- Have a member in a sorted set.
local function member(key, score, name)
  if redis.call('ZSCORE', key, name) then return nil end
  if mends then redis.call('ZADD', key, score, name) end
  return true
end

local look = {}

function look.not_indexed(id)
  local status, created, finished = unpack(redis.call('HMGET', task_key(id), 'status', 'created_at', 'finished_at'))
  if not status or not tonumber(created) then return nil end
  local left_ms = redis.call('PTTL', task_key(id))
  -- The index lets go of tasks that were accepted longer ago than their records are kept.
  local kept_ms = finished and left_ms + NOW - tonumber(finished)
  if kept_ms and (left_ms < 0 or NOW - tonumber(created) > kept_ms - 60000) then return nil end
  local found = member(INDEX, created, id) and 'is in no index'
  local index = INDEX .. ':' .. status
  if WRITTEN[status] then found = (member(index, created, id) and 'is in no index of tasks that are ' .. status) or found end
  return found
end

function look.session_unlisted(id)
  local session = session_key(id)
  local state, user, active, active_at, expires, ttl = unpack(redis.call('HMGET', session, 'state', 'user_id', 'active_task_id',
    'last_activity_at', 'expires_at'))
  if not state or not user or not tonumber(active_at) then return nil end
  ttl = redis.call('TTL', session)
  if ttl >= 0 and not CLOSED[state] then return nil end
  local found = member(SESSIONS, active_at, id) and 'is not in the list of sessions'
  found = (member(SESSIONS .. ':user:' .. user, active_at, id) and "is not in its user's list of sessions") or found
  if CLOSED[state] then return found end
  if ttl < 0 then found = (member(OPEN, expires or '+inf', id) and 'is not among the open sessions') or found end
  if IDLE[state] and not active then
    found = (member(TIMERS, NOW + 60000, id) and 'has no timer for its next idle move') or found
  end
  return found
end

function look.wrong_count(name)
  if name == 'turns' then
    local sum, found = 0, nil
    local flat = redis.call('HGETALL', TURNS_WAITING)
    for i = 1, #flat, 2 do
      if flat[i] ~= '' then
        local waiting = redis.call('LLEN', session_key(flat[i]) .. ':turns')
        found = figure(TURNS_WAITING, flat[i], waiting) or found
        sum = sum + waiting
      end
    end
    return figure(TURNS_WAITING, '', sum) or found
  elseif name == 'users' then
    local sum = 0
    for _, user in ipairs(redis.call('HKEYS', USERS)) do
      if user ~= '' then sum = sum + redis.call('LLEN', user_list(user)) end
    end
    return figure(USERS, '', sum)
  elseif name == 'kept' then
    local sum, flat = 0, redis.call('HGETALL', KEPT)
    for i = 1, #flat, 2 do
      if tonumber(flat[i]) then sum = sum + number(flat[i + 1]) end
    end
    return #flat > 0 and figure(KEPT, 'total', sum) or nil
  elseif name == 'open' then
    local sum = 0
    for _, id in ipairs(redis.call('ZRANGE', OPEN, 0, -1)) do sum = sum + number(redis.call('HGET', session_key(id), 'bytes')) end
    for _, id in ipairs(redis.call('ZRANGE', SCHEDULES, 0, -1)) do
      sum = sum + number(redis.call('HGET', schedule_key(id), 'bytes'))
    end
    return figure(KEPT, 'open', sum)
  end
  -- The turns of one session that is not counted yet.
  local waiting = redis.call('LLEN', session_key(name) .. ':turns')
  if number(redis.call('HGET', TURNS_WAITING, name)) == waiting then return nil end
  if mends then count_turns(name) end
  return 'counts other turns than wait'
end

function look.batch_miscounted(id)
  local batch = 'orchestrator:batch:' .. TENANT .. ':' .. id
  local status, total, started, created = unpack(redis.call('HMGET', batch, 'status', 'total', 'started', 'created_at'))
  if not status or not tonumber(created) then return nil end
  -- What was set aside is kept for a while, and belongs to no list.
  if (status == 'running' or status == 'stopping') and redis.call('TTL', batch) >= 0 then return nil end
  local found = member(BATCHES, created, id) and 'is not in the list of batches'
  if status ~= 'running' then
    if status ~= 'stopping' and redis.call('HEXISTS', BATCHES .. ':waiting', id) == 1 then
      if mends then redis.call('HDEL', BATCHES .. ':waiting', id) end
      found = 'has ended, but counts as open'
    end
    return found
  end
  local counts, results, last = {completed = 0, failed = 0, cancelled = 0}, redis.call('HGETALL', batch .. ':results'), -1
  local over = {}
  for i = 1, #results, 2 do
    local ended = cjson.decode(results[i + 1]).status
    local name = (ended == 'failed' or ended == 'cancelled') and ended or 'completed'
    counts[name] = counts[name] + 1
    over[tonumber(results[i])] = true
    last = math.max(last, tonumber(results[i]))
  end
  for place = 0, math.min(tonumber(total), number(started) + 1000) - 1 do
    local task = redis.call('HGET', task_key(id .. '.' .. place), 'status')
    if task then last = math.max(last, place) end
    if task and not ENDED[task] and not over[place] and redis.call('SISMEMBER', batch .. ':window', place) == 0 then
      if mends then redis.call('SADD', batch .. ':window', place) end
      found = 'has an item that runs and is not counted'
    end
  end
  local wrong = figure(batch, 'started', last + 1)
  for _, name in ipairs({'completed', 'failed', 'cancelled'}) do
    if number(redis.call('HGET', batch, name)) ~= counts[name] then
      wrong = name .. ' is ' .. tostring(redis.call('HGET', batch, name)) .. ' instead of ' .. counts[name]
      if mends then redis.call('HSET', batch, name, counts[name]) end
    end
  end
  local left = tonumber(total) - (last + 1)
  if number(redis.call('HGET', BATCHES .. ':waiting', id)) ~= left or redis.call('HEXISTS', BATCHES .. ':waiting', id) == 0 then
    if mends then redis.call('HSET', BATCHES .. ':waiting', id, left) end
    wrong = 'counts other waiting items than there are'
  end
  return wrong or found
end

function look.schedule_unlisted(id)
  local created, next_at = unpack(redis.call('HMGET', schedule_key(id), 'created_at', 'next_at'))
  if not tonumber(created) or redis.call('TTL', schedule_key(id)) >= 0 then return nil end
  local found = member(SCHEDULES, created, id) and 'is not in the list of schedules'
  local due = redis.call('ZSCORE', SCHEDULES_DUE, id)
  if next_at and tonumber(due) ~= tonumber(next_at) then
    if mends then redis.call('ZADD', SCHEDULES_DUE, next_at, id) end
    return due and 'runs at another moment than it says' or 'is due by its record, but by no timer'
  elseif due and not next_at then
    if mends then redis.call('ZREM', SCHEDULES_DUE, id) end
    return 'has a timer, but no next run'
  end
  return found
end

local wrong = {}
for i = FIRST, #ARGV, 2 do
  local kind, subject = ARGV[i], ARGV[i + 1]
  local is_read, found = isolate(look[kind], subject)
  -- What can't be read is told by others.
  if is_read and found then wrong[#wrong + 1] = {kind, subject, type(found) == 'string' and found or 'is missing'} end
end
return wrong
