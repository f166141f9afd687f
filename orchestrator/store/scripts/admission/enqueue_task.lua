-- Take in a task that was accepted elsewhere, or that follows from one that was: its record, and its place in the queue or
-- behind the turns of its session: all of it or nothing.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 session or '', 5 chat message or '', 6 user, 7 correlation id,
--       8 seconds that records are kept, 9 body of chat.status_update, 10 body of session.state_update,
--       11 default of queue_length, or '' where it counts already, 12 moment (ms) at which it is due, or '',
--       13 lane and 14 entry that stood for it without a record, or '', 15 turns that may wait in its session, or '',
--       16… field, value of the record
-- Returns: {'ok', 1 if it is claimable}, {'known'}, {'unknown'} or {'closed', state} of its session, {'tenant', state},
--       {'full', 'session' | 'tenant'}; where it is refused nothing has changed
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include common/config
local task_id, session_id, message_id, user, correlation = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local session, task = session_key(session_id), task_key(task_id)

local found, state = {}, nil
local function refusal()
  local intake = redis.call('HGET', CONFIG, 'state')
  -- What stands in a lane already was taken in before the drain.
  if ARGV[14] == '' and (intake == 'draining' or intake == 'drained') then return {'tenant', intake} end
  if redis.call('EXISTS', task) == 1 then return {'known'} end
  if session_id ~= '' then
    found = redis.call('HMGET', session, 'state', 'active_task_id')
    state = found[1]
    if not state then return {'unknown'} end
    if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
    if ARGV[15] ~= '' and redis.call('LLEN', session .. ':turns') >= tonumber(ARGV[15]) then return {'full', 'session'} end
  end
  if ARGV[11] ~= '' and queue_length() >= limit_of('queue_length', ARGV[11]) then return {'full', 'tenant'} end
end
local refused = refusal()
if refused then return refused end

if ARGV[14] ~= '' then
  if redis.call('XDEL', lane_key(ARGV[13]), ARGV[14]) == 0 then return {'known'} end
  redis.pcall('XACK', lane_key(ARGV[13]), GROUP, ARGV[14])
end
redis.call('HSET', task, 'task_id', task_id, 'status', 'pending', 'attempt', 0, 'created_at', NOW, 'user_id', user,
  'correlation_id', correlation, unpack(ARGV, 16))
redis.call('ZADD', INDEX, redis.call('HGET', task, 'created_at'), task_id)
trace(task_id, 'accepted', {correlation, 0}, nil, redis.call('HGET', task, 'type'))
if session_id == '' then
  if ARGV[12] == '' then
    enqueue(task_id)
  else
    redis.call('ZADD', DELAYED, ARGV[12], task_id)
  end
  return {'ok', 1}
end
redis.call('HSET', task, 'session_id', session_id)
if message_id ~= '' then
  redis.call('HSET', task, 'message_id', message_id)
  redis.call('HSET', message_key(message_id), 'session_id', session_id, 'task_id', task_id, 'user_id', user)
  redis.call('EXPIRE', message_key(message_id), ARGV[8])
end
if ARGV[12] ~= '' and redis.call('HGET', task, 'status') == 'pending' then
  -- A turn that is to start later takes its place in the session only then.
  redis.call('ZADD', DELAYED, ARGV[12], task_id)
  return {'ok', 0}
end
touch_session(session_id)
local claimable, before = 0, 0
if found[2] then
  before = redis.call('RPUSH', session .. ':turns', task_id)
else
  redis.call('HSET', session, 'active_task_id', task_id)
  redis.call('ZREM', TIMERS, session_id)
  if ARGV[12] == '' then
    enqueue(task_id)
    claimable = 1
  else
    redis.call('ZADD', DELAYED, ARGV[12], task_id)
  end
end
append_event(session_id, 'chat.status_update', (string.gsub(ARGV[9], '"queue_position":null', '"queue_position":' .. before, 1)))
if state ~= 'PROCESSING' then move_session(session_id, 'PROCESSING', 'message', correlation, ARGV[10]) end
return {'ok', claimable}
