#!lua flags=allow-oom
-- Advance a drain by one step: park queued tasks, or put parked ones back, or note that nothing is left.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many tasks at most, 4… types of tasks that hold up no drain while they wait for their
--       next attempt
-- Returns: {state, 1 if there is more to do at once}
-- Complexity: O(tasks moved)
--!include common/tenant
--!include tasks/queue
--!include tasks/depth
--!include tasks/unclaimed
local count = tonumber(ARGV[3])
local FIRST_TYPE = 4

local state, drain, deadline = unpack(redis.call('HMGET', CONFIG, 'state', 'drain', 'drain_deadline'))
if state ~= 'draining' then return {state or 'active', 0} end

local function park(task_id, ...)
  redis.call('HSET', task_key(task_id), 'parked', redis.call('XADD', PARKED, '*', 'task_id', task_id, ...))
  redis.call('HDEL', task_key(task_id), 'entry')
end

-- Park what is a task only when its claim says so: an external entry, or a task whose record can't be read.
local function park_unread(lane, task_id, message)
  redis.call('XADD', PARKED, '*', 'by_hand', lane, 'task_id', task_id or '', 'message', message or '')
end

local function park_entry(lane, entry, fields)
  local task_id = field_of(fields, 'task_id')
  local queued = task_id and redis.call('HGET', task_key(task_id), 'entry')
  if queued == entry then
    park(task_id, 'lane', lane)
  elseif not queued then
    park_unread(lane, task_id, field_of(fields, 'message'))
  end
end

local function put_back(parked, fields)
  redis.call('XDEL', PARKED, parked)
  if fields[1] == 'by_hand' then
    redis.call('XADD', lane_key(fields[2]), '*', unpack(fields, 3))
    return
  end
  local task_id, due = field_of(fields, 'task_id'), field_of(fields, 'due')
  local status, recorded, entry = unpack(redis.call('HMGET', task_key(task_id), 'status', 'parked', 'entry'))
  -- A task that was answered or stopped meanwhile is parked no more.
  if recorded == parked then
    redis.call('HDEL', task_key(task_id), 'parked')
    if due and status ~= 'cancelled' and not entry then
      redis.call('ZADD', DELAYED, due, task_id)
    elseif not due and status == 'pending' and not entry then
      enqueue(task_id)
    end
  end
end

if drain == 'resuming' then
  local items = redis.call('XRANGE', PARKED, '-', '+', 'COUNT', count)
  for _, item in ipairs(items) do
    local parked, fields = unpack(item)
    isolate(put_back, parked, fields)
  end
  if #items == count then return {'draining', 1} end
  redis.call('HSET', CONFIG, 'state', 'active')
  redis.call('HDEL', CONFIG, 'drain', 'drain_deadline')
  return {'active', 0}
end

if drain == 'discard' or NOW >= (tonumber(deadline) or NOW + 1) then
  local left = count
  for _, lane in ipairs(LANES) do
    local items = left > 0 and unclaimed(lane, left) or {}
    for _, item in ipairs(items) do
      local entry, fields = unpack(item)
      if not isolate(park_entry, lane, entry, fields) then
        park_unread(lane, field_of(fields, 'task_id'), field_of(fields, 'message'))
      end
      redis.call('XDEL', lane_key(lane), entry)
    end
    left = left - #items
  end
  local delayed = left > 0 and redis.call('ZRANGE', DELAYED, 0, left - 1, 'WITHSCORES') or {}
  for i = 1, #delayed, 2 do
    local task_id, due = delayed[i], delayed[i + 1]
    redis.call('ZREM', DELAYED, task_id)
    if not isolate(park, task_id, 'due', due) then park_unread('normal', task_id) end
  end
  if left - #delayed / 2 <= 0 then return {'draining', 1} end
end
-- A task that is retried for long (a callback whose receiver does not answer, for a day) must not hold up a drain: it is parked,
-- and retried after a resume.
local passed_over = {}
for i = FIRST_TYPE, #ARGV do passed_over[ARGV[i]] = true end
local delayed = redis.call('ZRANGE', DELAYED, 0, count - 1, 'WITHSCORES')
for i = 1, #delayed, 2 do
  local task_id, due = delayed[i], delayed[i + 1]
  local record = redis.pcall('HMGET', task_key(task_id), 'type', 'status')
  local kind, status = unpack(record.err and {} or record)
  if passed_over[kind] and status == 'retrying' then
    redis.call('ZREM', DELAYED, task_id)
    park(task_id, 'due', due)
  end
end
if tasks_in_lanes() + redis.call('ZCARD', DELAYED) > 0 then return {'draining', 0} end
redis.call('HSET', CONFIG, 'state', 'drained')
return {'drained', 0}
