-- Tasks and their entries in the lanes. Needs tenant.lua.
--!include common/isolate
--!include common/trace
--!include tasks/trim
--!include tasks/users
--!include sessions/waiting

-- Return the type of a task, `domain.action`, as its message (JSON) has it.
local function type_of(message)
  local kind = cjson.decode(message).type
  return kind.domain .. '.' .. kind.action
end

-- Put a task into its lane, where any process may claim it; where users share fairly, behind the other tasks of its user.
local function enqueue(task_id)
  local user = redis.call('HGET', CONFIG, 'fair_users') == '1' and redis.pcall('HGET', task_key(task_id), 'user_id')
  if type(user) == 'string' and waits_for_user(task_id, user) then return end
  put_into_lane(task_id)
end

-- Wake idle processes: they claim of the tenant at once, whether it is marked as ready yet or not.
local function call_idle() redis.call('PUBLISH', 'orchestrator:wake', (string.gsub(TENANT, '[{}]', ''))) end

-- Take a task out of its lane and out of its user's turn; `entry` and `user` are false where it has none.
-- The entry is acknowledged and deleted together, so streams hold only live work.
local function leave_lane(task_id, lane, entry, user)
  if user then leave_user(task_id, user) end
  if entry then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
  end
end

local function dequeue(task_id)
  local lane, entry, user = unpack(redis.call('HMGET', task_key(task_id), 'lane', 'entry', 'turn_of_user'))
  leave_lane(task_id, lane, entry, user)
  if entry then redis.call('HDEL', task_key(task_id), 'entry') end
end

-- The fence: only the holder of the current attempt may write.
local function holds(task_id, attempt)
  local current, status = unpack(redis.call('HMGET', task_key(task_id), 'attempt', 'status'))
  return current == attempt and status == 'processing'
end

-- Take tasks whose records have expired out of the lists; `index` is nil, or one beside the list of all.
local function trim_lists(index, before)
--!rare
  isolate(trim, INDEX, before)
  if index then isolate(trim, index, before) end
end

-- Close the record of a task. `record` has its correlation, attempt, node, epoch, steps and created_at; further arguments are
-- pairs of field and value to write.
local function close(task_id, status, retain_seconds, record, ...)
  local task = task_key(task_id)
  redis.call('HSET', task, 'status', status, 'finished_at', NOW,
    'steps', with_step(record.steps, 'finished', record.attempt, record.node, status), ...)
  redis.call('HDEL', task, 'entry', 'node', 'emitted', 'calls', 'log_from', 'time_left', 'expires_at', 'waiting_for')
  redis.call('EXPIRE', task, retain_seconds)
  if record.epoch then redis.call('EXPIRE', task .. ':events', retain_seconds) end
  trace_again(task_id, record.correlation, record.created_at)
  -- Lists of tasks that have failed or were stopped need not read all the others. A damaged index holds up no end.
  local index = status ~= 'completed' and INDEX .. ':' .. status
  if index then redis.pcall('ZADD', index, tonumber(record.created_at) or NOW, task_id) end
  -- Records that have expired leave the index with the end of another task; one end in 16 is enough.
  if NOW % 16 == 0 then trim_lists(index, NOW - retain_seconds * 1000) end
end

-- Make the next waiting turn of a session its active task; returns its id, or false where none waits.
local function next_turn(session_id)
  local session = session_key(session_id)
  local task_id = redis.call('LPOP', session .. ':turns')
  if task_id then
    redis.call('HSET', session, 'active_task_id', task_id)
    count_turns(session_id)
    enqueue(task_id)
    isolate(trace_step, task_id, 'its_turn')
  else
    redis.call('HDEL', session, 'active_task_id')
  end
  return task_id
end
