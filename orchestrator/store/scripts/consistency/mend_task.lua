-- Mend a violation of a task, if it is still there.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 'requeue', 'drop_delay', 'drop_entry', 'drop_turn', 'drop_index', 'once',
--       'restate' or 'activate'
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(turns waiting in its session)
--!include common/tenant
--!include tasks/queue
--!include tasks/parked
local task_id, mend = ARGV[3], ARGV[4]

local status, lane, entry, session_id, parked, turn_of_user = unpack(redis.call('HMGET', task_key(task_id), 'status', 'lane',
  'entry', 'session_id', 'parked', 'turn_of_user'))
local LIVE = {pending = true, processing = true, retrying = true, waiting = true}
local live = LIVE[status] or false
local is_lane = {high = true, normal = true, low = true}
if not is_lane[lane] then
  -- Where its entry is, is its lane.
  lane = 'normal'
  for _, one in ipairs(LANES) do
    if entry and #redis.call('XRANGE', lane_key(one), entry, entry) > 0 then lane = one end
  end
  if live then redis.call('HSET', task_key(task_id), 'lane', lane) end
  if live and mend == 'requeue' then return 1 end
end
local there = entry and #redis.call('XRANGE', lane_key(lane), entry, entry) > 0
local session = session_id and session_key(session_id)
local turns = session and session .. ':turns'

if mend == 'drop_index' then return status and 0 or redis.call('ZREM', INDEX, task_id) end
if mend == 'drop_delay' then return (not live or there) and redis.call('ZREM', DELAYED, task_id) or 0 end
if mend == 'drop_turn' then
  local dropped = turns and not live and redis.call('LREM', turns, 0, task_id) or 0
  if dropped > 0 then count_turns(session_id) end
  return dropped
end
if mend == 'activate' then
  local state = session and redis.call('HGET', session, 'state')
  if not live or not state then return 0 end
  local active = redis.call('HGET', session, 'active_task_id')
  local other = active and active ~= task_id and redis.pcall('HGET', task_key(active), 'status')
  -- One that has ended, or is not there, is no active one.
  if active == task_id or (type(other) == 'string' and LIVE[other]) then return 0 end
  if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return 0 end
  redis.call('HSET', session, 'active_task_id', task_id)
  trace_step(task_id, 'mended')
  return 1
end
if mend == 'once' then
  local dropped = there and redis.call('ZREM', DELAYED, task_id) or 0
  local listed = turns and #redis.call('LPOS', turns, task_id, 'COUNT', 0) or 0
  local elsewhere = there or redis.call('ZSCORE', DELAYED, task_id)
  local surplus = elsewhere and listed or listed - 1
  if surplus > 0 then
    dropped = dropped + redis.call('LREM', turns, -surplus, task_id)
    count_turns(session_id)
  end
  return dropped > 0 and 1 or 0
end
if mend == 'restate' then
  if not live or not there then return 0 end
  local pending = redis.pcall('XPENDING', lane_key(lane), GROUP, entry, entry, 1)
  local consumer = not pending.err and pending[1] and pending[1][2]
  if consumer then
    redis.call('HSET', task_key(task_id), 'status', 'processing', 'node', consumer)
  else
    redis.call('HSET', task_key(task_id), 'status', 'pending')
    redis.call('HDEL', task_key(task_id), 'node')
  end
  trace_step(task_id, 'mended')
  return 1
end
if mend == 'drop_entry' then
  if live or not there then return 0 end
  dequeue(task_id)
  return 1
end
local elsewhere = redis.call('ZSCORE', DELAYED, task_id) or (turns and redis.call('LPOS', turns, task_id)) or
  (parked and #redis.call('XRANGE', PARKED, parked, parked) > 0) or
  (turn_of_user and redis.call('LPOS', user_list(turn_of_user), task_id))
if not live or there or elsewhere then return 0 end
-- The status fences out a worker that still takes the task for its own.
redis.call('HDEL', task_key(task_id), 'node', 'waiting_for', 'parked')
redis.call('HSET', task_key(task_id), 'status', 'pending')
local active = session and redis.call('HGET', session, 'active_task_id')
if active and active ~= task_id then
  redis.call('RPUSH', turns, task_id)
  count_turns(session_id)
else
  if session and redis.call('EXISTS', session) == 1 then redis.call('HSET', session, 'active_task_id', task_id) end
  enqueue(task_id)
end
trace_step(task_id, 'mended')
return 1
