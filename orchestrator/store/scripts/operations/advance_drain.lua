-- Take a drain one step on: put aside what is queued, or put back what was put aside, or notice that nothing is left.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many tasks at most, further: types of tasks that hold up no drain while they wait
--       for their next attempt
-- Returns: {state, 1 if there is more to do at once}
-- Complexity: O(tasks moved)
--!include common/tenant
--!include tasks/queue
--!include common/config
--!include tasks/unclaimed
local wanted = tonumber(ARGV[3])
local config = redis.call('HMGET', CONFIG, 'state', 'drain', 'drain_deadline')
if config[1] ~= 'draining' then return {config[1] or 'active', 0} end

local function park(task_id, ...)
  redis.call('HSET', task_key(task_id), 'parked', redis.call('XADD', PARKED, '*', 'task_id', task_id, ...))
  redis.call('HDEL', task_key(task_id), 'entry')
end

local function park_entry(lane, entry, fields)
  local task_id = field_of(fields, 'task_id')
  local queued = task_id and redis.call('HGET', task_key(task_id), 'entry')
  if queued == entry then
    park(task_id, 'lane', lane)
  elseif not queued then
    -- Somebody has written it by hand; whether it is a task is seen when it is claimed.
    redis.call('XADD', PARKED, '*', 'by_hand', lane, unpack(fields))
  end
  redis.call('XDEL', lane_key(lane), entry)
end

local function put_back(entry, fields)
  redis.call('XDEL', PARKED, entry)
  if fields[1] == 'by_hand' then
    redis.call('XADD', lane_key(fields[2]), '*', unpack(fields, 3))
    return
  end
  local task_id, due = field_of(fields, 'task_id'), field_of(fields, 'due')
  local known = redis.call('HMGET', task_key(task_id), 'status', 'parked', 'entry')
  -- What was answered or stopped meanwhile has found its way without us.
  if known[2] == entry then
    redis.call('HDEL', task_key(task_id), 'parked')
    if due and known[1] ~= 'cancelled' and not known[3] then
      redis.call('ZADD', DELAYED, due, task_id)
    elseif not due and known[1] == 'pending' and not known[3] then
      enqueue(task_id)
    end
  end
end

if config[2] == 'resuming' then
  local entries = redis.call('XRANGE', PARKED, '-', '+', 'COUNT', wanted)
  for _, item in ipairs(entries) do put_back(item[1], item[2]) end
  if #entries == wanted then return {'draining', 1} end
  redis.call('HSET', CONFIG, 'state', 'active')
  redis.call('HDEL', CONFIG, 'drain', 'drain_deadline')
  return {'active', 0}
end

if config[2] == 'discard' or NOW >= tonumber(config[3] or NOW + 1) then
  local left = wanted
  for _, lane in ipairs(LANES) do
    local entries = left > 0 and unclaimed(lane, left) or {}
    for _, item in ipairs(entries) do park_entry(lane, item[1], item[2]) end
    left = left - #entries
  end
  local delayed = left > 0 and redis.call('ZRANGE', DELAYED, 0, left - 1, 'WITHSCORES') or {}
  for i = 1, #delayed, 2 do
    redis.call('ZREM', DELAYED, delayed[i])
    park(delayed[i], 'due', delayed[i + 1])
  end
  if left - #delayed / 2 <= 0 then return {'draining', 1} end
end
-- What is tried for long (a callback whose receiver does not answer, for a day) holds up no drain. It is put aside, and tried
-- on after a resume.
local passed_over = {}
for i = 4, #ARGV do passed_over[ARGV[i]] = true end
local delayed = redis.call('ZRANGE', DELAYED, 0, wanted - 1, 'WITHSCORES')
for i = 1, #delayed, 2 do
  local fields = redis.call('HMGET', task_key(delayed[i]), 'type', 'status')
  if passed_over[fields[1]] and fields[2] == 'retrying' then
    redis.call('ZREM', DELAYED, delayed[i])
    park(delayed[i], 'due', delayed[i + 1])
  end
end
if tasks_in_lanes() + redis.call('ZCARD', DELAYED) > 0 then return {'draining', 0} end
redis.call('HSET', CONFIG, 'state', 'drained')
return {'drained', 0}
