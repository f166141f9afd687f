-- Compare what follows from the records of a tenant (lists, counts, timers) with what is there, at one moment; mend it on
-- request.
-- KEYS: 1 the tenant's queue, 2 the tenant's schedules that are due
-- ARGV: 1 tenant, 2 events kept, 3 '1' to mend, 4… kind, subject of each thing to look at
-- Returns: of each that is wrong {kind, subject, what is wrong}
-- Complexity: O(things · what they are counted from)
--!include common/tenant
--!include common/isolate
--!include sessions/sessions
--!include sessions/newest
--!include tasks/users
--!include tasks/schedules
local FIRST, mends = 4, ARGV[3] == '1'
local BATCHES = 'orchestrator:batches:' .. TENANT
local CLOSED = {TERMINATED = true, ARCHIVED = true, FAILED = true}
local ENDED = {completed = true, failed = true, cancelled = true, partial = true}
local WRITTEN = {failed = true, cancelled = true, partial = true}
local IDLE = {CREATED = true, ACTIVE = true, ERROR = true, PAUSED = true}

local CURSORS = QUEUE .. ':cursors'
local NOTIFICATION_MS = 7 * 86400000
-- Nothing says how long the record of one task was to be kept.
local ENDED_SECONDS = 7 * 86400

-- Tell whether the entry of a stream is not behind another one.
local function not_behind(entry, other)
  local ms, sequence = string.match(entry, '^(%d+)%-(%d+)$')
  local other_ms, other_sequence = string.match(other, '^(%d+)%-(%d+)$')
  if not ms then return false end
  if tonumber(ms) ~= tonumber(other_ms) then return tonumber(ms) < tonumber(other_ms) end
  return tonumber(sequence) <= tonumber(other_sequence)
end

local function number(text) return tonumber(text or 0) or 0 end

-- Have a figure of a hash be what it is counted to be; '' stands for a figure that is 0 and not there.
local function figure(key, field, right)
  local held = redis.call('HGET', key, field)
  -- What is no number is no 0 either: scripts that read it fail.
  if held and tonumber(held) == right or not held and right == 0 then return nil end
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
  if not ENDED[status] and left_ms >= 0 and redis.call('ZSCORE', INDEX, id) then
    if mends then redis.call('PERSIST', task_key(id)) end
    return 'has not ended, and would expire'
  elseif ENDED[status] and finished and left_ms == -1 then
    if mends then redis.call('EXPIRE', task_key(id), ENDED_SECONDS) end
    return 'has ended, and would never expire'
  end
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
  if ttl >= 0 and not CLOSED[state] then
    -- What was set aside is in no list.
    if not redis.call('ZSCORE', SESSIONS, id) then return nil end
    if mends then redis.call('PERSIST', session) end
    return 'is open, and would expire'
  end
  local found = member(SESSIONS, active_at, id) and 'is not in the list of sessions'
  found = (member(SESSIONS .. ':user:' .. user, active_at, id) and "is not in its user's list of sessions") or found
  if CLOSED[state] then return found end
  if ttl < 0 then
    found = (member(OPEN, expires or '+inf', id) and 'is not among the open sessions') or found
    local ends = tonumber(expires or '') or math.huge
    if tonumber(redis.call('ZSCORE', OPEN, id) or ends) ~= ends then
      if mends then redis.call('ZADD', OPEN, expires or '+inf', id) end
      found = 'ends at another moment than its record says'
    end
  end
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
  elseif name == 'cursors' then
    local found
    for _, lane in ipairs(LANES) do
      local cursor = redis.call('HGET', CURSORS, lane)
      local groups = redis.pcall('XINFO', 'GROUPS', lane_key(lane))
      local delivered = not groups.err and groups[1] and groups[1][8] or '0-0'
      if cursor and cursor ~= delivered and not not_behind(cursor, delivered) then
        if mends then redis.call('HDEL', CURSORS, lane) end
        found = 'names an entry of a lane as claimed that is not'
      end
    end
    return found
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
    -- Beside a result stands what of it is sealed, under a longer name.
    local place = tonumber(results[i])
    local is_read, result = pcall(cjson.decode, results[i + 1])
    if place and is_read and type(result) == 'table' then
      local name = (result.status == 'failed' or result.status == 'cancelled') and result.status or 'completed'
      counts[name] = counts[name] + 1
      over[place] = true
      last = math.max(last, place)
    elseif place then
      if mends then redis.call('HDEL', batch .. ':results', results[i]) end
      found = "has an item's result that can't be read"
    end
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

-- The log of a batch, of a task that is no turn or of a user's notifications: events are counted, in an epoch. Where the record
-- counts too few, the log says which offsets were used; where it counts others than the log has, the log goes on in another epoch.
function look.wrong_log(subject)
  local kind, id = string.match(subject, '^(%l+) (.+)$')
  local owner = 'orchestrator:' .. kind .. ':' .. TENANT .. ':' .. id
  local epoch, offset, created = unpack(redis.call('HMGET', owner, 'epoch', 'offset', 'created_at'))
  if epoch == '' then epoch = false end
  if redis.call('EXISTS', owner) == 0 or (kind ~= 'notifications' and redis.call('TTL', owner) >= 0) then
    return nil
  end
  local last = newest_event(owner)
  local next_epoch = string.sub(redis.sha1hex(owner .. NOW), 1, 8)
  if not epoch and (last or kind ~= 'task') then
    if mends then redis.call('HSET', owner, 'epoch', next_epoch, 'offset', string.format('%d', last or tonumber(offset or '') or 0)) end
    return 'has a log without an epoch'
  end
  local counted = tonumber(offset or '')
  if not epoch or counted == (last or 0) or (not last and not offset) then return nil end
  -- A log goes by itself a day after its last event.
  local is_young = tonumber(created or '') and NOW - tonumber(created) < (LOG_SECONDS - 60) * 1000
  if not last and counted and not is_young then return nil end
  -- What a session counts beside a log that is there is judged by others.
  if kind == 'session' and last then return nil end
  if mends then
    if not counted or counted > (last or 0) then redis.call('HSET', owner, 'epoch', next_epoch) end
    redis.call('HSET', owner, 'offset', string.format('%d', last or 0))
  end
  return 'counts ' .. (offset or 'no') .. ' events, but the last one in its log is ' .. (last or 'none')
end

-- The feed of a tenant is told again from its beginning, and those who follow it are told of the gap.
function look.wrong_feed()
  local feed = 'orchestrator:feed:' .. TENANT
  local offset = redis.call('HGET', feed, 'offset')
  local last = newest_event(feed)
  if redis.call('EXISTS', feed) == 0 or (last and tonumber(offset or '') == last) then return nil end
  if mends then redis.call('DEL', feed, feed .. ':events') end
  return 'counts ' .. (offset or 'no') .. ' events, but the last one in its log is ' .. (last or 'none')
end

-- Add up what the ledgers of a period (a day, or the days of a month) say was spent: in all, or on one model.
local function spent_in(period, model)
  local sum = 0
  for day = 1, #period == 8 and 1 or 31 do
    local ledger = 'orchestrator:usage:' .. TENANT .. ':' .. (#period == 8 and period or period .. string.format('%02d', day))
    local flat = redis.call('HGETALL', ledger)
    for i = 1, #flat, 2 do
      local counter, of = string.match(flat[i], '^([%l_]+)|.*|([^|]*)$')
      if (counter == 'total_tokens' or counter == 'unsettled_tokens') and (not model or of == model) then
        sum = sum + number(flat[i + 1])
      end
    end
  end
  return sum
end

-- A counter that is no number can't be counted on: no call that it belongs to could end.
function look.counter_damaged(subject)
  local kind, rest = string.match(subject, '^(%l+) (.+)$')
  local key, found = 'orchestrator:' .. kind .. ':' .. TENANT .. ':' .. rest, nil
  local flat = redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local field = flat[i]
    if not string.match(flat[i + 1], '^%-?%d+$') then
      found = 'has a counter that is no number'
      if mends and kind == 'usage' then
        redis.call('HDEL', key, field)
      elseif mends then
        local what, model = string.match(field, '^(%l+)|?(.*)$')
        local sum = what == 'used' and spent_in(rest, model ~= '' and model or nil) or 0
        redis.call('HSET', key, field, string.format('%d', sum))
      end
    end
  end
  return found
end

-- What a user's notifications are: each has a body, a place in their order and an expiry.
function look.notifications_miscounted(user)
  local reader, found = 'orchestrator:notifications:' .. TENANT .. ':' .. user, nil
  local bodies = {}
  for _, id in ipairs(redis.call('HKEYS', reader .. ':bodies')) do
    bodies[id] = true
    if member(reader .. ':order', NOW, id) then found = 'has a notification that is in no order' end
    if member(reader .. ':expiry', NOW + NOTIFICATION_MS, id) then found = 'has a notification that never expires' end
  end
  local function without_body(id, command, key)
    if bodies[id] then return end
    if mends then redis.call(command, key, id) end
    found = 'counts a notification that has no body'
  end
  for _, suffix in ipairs({':order', ':expiry'}) do
    for _, id in ipairs(redis.call('ZRANGE', reader .. suffix, 0, -1)) do without_body(id, 'ZREM', reader .. suffix) end
  end
  for _, id in ipairs(redis.call('HKEYS', reader .. ':acks')) do without_body(id, 'HDEL', reader .. ':acks') end
  return found
end

-- The items of a running batch that are no tasks yet have to be there. To mend it the batch is given up, by others.
function look.batch_damaged(id)
  local batch = 'orchestrator:batch:' .. TENANT .. ':' .. id
  local status, started, total = unpack(redis.call('HMGET', batch, 'status', 'started', 'total'))
  if status ~= 'running' or not tonumber(started) or not tonumber(total) or redis.call('TTL', batch) >= 0 then return nil end
  -- All are kept until the batch ends.
  if redis.call('HLEN', batch .. ':items') == tonumber(total) then return nil end
  for place = tonumber(started), tonumber(total) - 1 do
    if redis.call('HEXISTS', batch .. ':items', place) == 0 then return 'lacks items that are to start' end
  end
end

local wrong = {}
for i = FIRST, #ARGV, 2 do
  local kind, subject = ARGV[i], ARGV[i + 1]
  local is_read, found = isolate(look[kind], subject)
  -- What can't be read is told by others.
  if is_read and found then wrong[#wrong + 1] = {kind, subject, type(found) == 'string' and found or 'is missing'} end
end
return wrong
