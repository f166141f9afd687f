-- The tenant's queue. Needs tenant.lua.
--!include trace

-- Put a task's message into its lane, where any process may claim it.
local function enqueue(task_id)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'lane', 'message')
  local entry = redis.call('XADD', lane_key(fields[1]), '*', 'task_id', task_id, 'message', fields[2])
  redis.call('HSET', task, 'status', 'pending', 'entry', entry)
end

-- Take a task's entry out of its lane: acknowledged and deleted together, so streams hold only live work.
local function dequeue(task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'lane', 'entry')
  if fields[2] then
    redis.call('XACK', lane_key(fields[1]), GROUP, fields[2])
    redis.call('XDEL', lane_key(fields[1]), fields[2])
    redis.call('HDEL', task_key(task_id), 'entry')
  end
end

-- The fence: only the holder of the current attempt may write.
local function holds(task_id, attempt)
  local fields = redis.call('HMGET', task_key(task_id), 'attempt', 'status')
  return fields[1] == attempt and fields[2] == 'processing'
end

-- Close a task's record.
local function conclude(task_id, status, retain_seconds)
  local task = task_key(task_id)
  redis.call('HSET', task, 'status', status, 'finished_at', NOW)
  local fields = redis.call('HMGET', task, 'correlation_id', 'attempt', 'node')
  trace(task_id, 'finished', fields, fields[3], status)
  redis.call('HDEL', task, 'node')
  redis.call('EXPIRE', task, retain_seconds)
  redis.call('ZREMRANGEBYSCORE', INDEX, '-inf', NOW - retain_seconds * 1000)
end

-- When a session's active task has ended, the next waiting one becomes claimable; returns its id, or nil.
local function next_turn(session_id)
  local session = session_key(session_id)
  local task_id = redis.call('LPOP', session .. ':turns')
  if task_id then
    redis.call('HSET', session, 'active_task_id', task_id)
    enqueue(task_id)
    trace_step(task_id, 'its_turn')
  else
    redis.call('HDEL', session, 'active_task_id')
  end
  return task_id
end
