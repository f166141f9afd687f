-- Tasks and their entries in the lanes. Needs tenant.lua.
--!include common/trace
--!include tasks/users

-- The type of a task, `domain.action`, as its message (JSON) has it.
local function type_of(message)
  local named = cjson.decode(message).type
  return named.domain .. '.' .. named.action
end

-- Put a task's message into its lane, where any process may claim it; where users share fairly, behind its user's others.
local function enqueue(task_id)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'lane', 'message', 'user_id')
  if fields[3] and redis.call('HGET', CONFIG, 'fair_users') == '1' and waits_for_user(task_id, fields[3]) then return end
  put_into_lane(task_id, fields[1], fields[2])
end

-- Have processes that have nothing to do claim of the tenant at once, whether it is marked as ready yet or not.
local function call_idle() redis.call('PUBLISH', 'orchestrator:wake', (string.gsub(TENANT, '[{}]', ''))) end

local function leave_lane(task_id, lane, entry, user)
  if user then leave_user(task_id, user) end
  if entry then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
  end
end

-- Take a task's entry out of its lane: acknowledged and deleted together, so streams hold only live work.
local function dequeue(task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'lane', 'entry', 'turn_of_user')
  leave_lane(task_id, unpack(fields, 1, 3))
  if fields[2] then redis.call('HDEL', task_key(task_id), 'entry') end
end

-- The fence: only the holder of the current attempt may write.
local function holds(task_id, attempt)
  local fields = redis.call('HMGET', task_key(task_id), 'attempt', 'status')
  return fields[1] == attempt and fields[2] == 'processing'
end

-- Close a task's record; `fields` are its correlation id, attempt, node, epoch, steps and moment of acceptance, further
-- arguments are field, value of it.
local function close(task_id, status, retain_seconds, fields, ...)
  local task = task_key(task_id)
  redis.call('HSET', task, 'status', status, 'finished_at', NOW,
    'steps', with_step(fields[5], 'finished', fields[2], fields[3], status), ...)
  redis.call('HDEL', task, 'entry', 'node')
  redis.call('EXPIRE', task, retain_seconds)
  if fields[4] then redis.call('EXPIRE', task .. ':events', retain_seconds) end
  trace_again(task_id, fields[1], fields[6])
  -- Records that have gone leave the index, some with each task that ends; once in a while is enough.
  if NOW % 16 == 0 then redis.call('ZREMRANGEBYSCORE', INDEX, '-inf', NOW - retain_seconds * 1000) end
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
