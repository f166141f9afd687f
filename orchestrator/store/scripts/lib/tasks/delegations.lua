-- Calls that a task has handed on to services, which answer later. Needs tenant.lua; `call_off` needs queue.lua.
-- `delegated:{call}` in the task's record says to whom (JSON: service, execution_id,
-- expires_at, sent, told: it is told of a cancel, ended), `token:{digest}` which call a callback token is good for, `delegations` how many services would have to be told of a cancel.

local function read_delegation(task_id, call_id)
  local kept = redis.call('HGET', task_key(task_id), 'delegated:' .. call_id)
  return kept and cjson.decode(kept)
end

local function write_delegation(task_id, call_id, delegation)
  redis.call('HSET', task_key(task_id), 'delegated:' .. call_id, cjson.encode(delegation))
end

-- Return the call that a token is good for; nil where it is none of the task's, or has expired.
local function call_of_token(task_id, digest)
  local call_id = redis.call('HGET', task_key(task_id), 'token:' .. digest)
  local delegation = call_id and read_delegation(task_id, call_id)
  if not delegation or delegation.expires_at <= NOW then return nil end
  return call_id
end

-- The service is done with the call.
local function end_delegation(task_id, call_id)
  local delegation = read_delegation(task_id, call_id)
  if delegation.ended then return end
  delegation.ended = true
  write_delegation(task_id, call_id, delegation)
  if delegation.told then redis.call('HINCRBY', task_key(task_id), 'delegations', -1) end
end

-- A task has ended, and services still work for it: a task of its own tells them. Returns 1 if it became claimable, else 0.
local function call_off(task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'undo_task', 'undo_message', 'undo_priority', 'user_id',
    'correlation_id')
  local undo = fields[1]
  if not undo or redis.call('EXISTS', task_key(undo)) == 1 then return 0 end
  local named = type_of(fields[2])
  redis.call('HSET', task_key(undo), 'task_id', undo, 'message', fields[2], 'status', 'pending', 'attempt', 0,
    'lane', 'high', 'priority', fields[3], 'type', named, 'created_at', NOW, 'user_id', fields[4],
    'correlation_id', fields[5])
  redis.call('ZADD', INDEX, NOW, undo)
  trace(undo, 'accepted', {fields[5], 0}, nil, named)
  enqueue(undo)
  -- Not every script that ends a task tells its caller that there is more to claim now.
  call_idle()
  return 1
end
