-- Calls that a task has delegated to services, which answer later. Needs tenant.lua; `call_off` needs queue.lua.
-- Fields of the task's record: `delegated:{call}` describes a delegation (JSON: service, execution_id, expires_at, sent,
-- told: the service is told of a cancel, ended), `token:{digest}` names the call of a callback token, `delegations` counts the
-- services that would have to be told of a cancel.

local function read_delegation(task_id, call_id)
  local kept = redis.call('HGET', task_key(task_id), 'delegated:' .. call_id)
  return kept and cjson.decode(kept)
end

local function write_delegation(task_id, call_id, delegation)
  redis.call('HSET', task_key(task_id), 'delegated:' .. call_id, cjson.encode(delegation))
end

-- Return the call that a token is valid for; nil where it is none of the task's, or has expired.
local function call_of_token(task_id, digest)
  local call_id = redis.call('HGET', task_key(task_id), 'token:' .. digest)
  local delegation = call_id and read_delegation(task_id, call_id)
  if not delegation or delegation.expires_at <= NOW then return nil end
  return call_id
end

-- Note that the service is done with the call.
local function end_delegation(task_id, call_id)
  local delegation = read_delegation(task_id, call_id)
  if delegation.ended then return end
  delegation.ended = true
  write_delegation(task_id, call_id, delegation)
  if delegation.told then redis.call('HINCRBY', task_key(task_id), 'delegations', -1) end
end

-- Enqueue the task that tells services of the end of a task which they still work for. Returns 1 if it became claimable,
-- else 0.
local function call_off(task_id)
  local undo, message, priority, user, correlation, kind = unpack(redis.call('HMGET', task_key(task_id), 'undo_task',
    'undo_message', 'undo_priority', 'user_id', 'correlation_id', 'undo_type'))
  if not undo or redis.call('EXISTS', task_key(undo)) == 1 then return 0 end
  -- Records of older versions do not say it.
  kind = kind or type_of(message)
  redis.call('HSET', task_key(undo), 'task_id', undo, 'message', message, 'status', 'pending', 'attempt', 0,
    'lane', 'high', 'priority', priority, 'type', kind, 'created_at', NOW, 'user_id', user,
    'correlation_id', correlation)
  redis.call('ZADD', INDEX, NOW, undo)
  trace(undo, correlation, 0, 'accepted', nil, kind)
  enqueue(undo)
  -- Not every script that ends a task tells its caller that there is more to claim now.
  call_idle()
  return 1
end
