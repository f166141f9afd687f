-- The answers that a task waits for. Needs tenant.lua and queue.lua.
-- `wait:{call}` in its record holds the kind of the wait and the moment (ms) at which it times out, until it is answered;
-- `waiting_for` names the calls (a JSON list) while the task is off its lane because of them. An answer is a checkpoint.

local function answer_field(call_id) return 'checkpoint:answer:' .. call_id end

-- Keep the answer to a call; returns whether it is the first one.
local function keep_answer(task_id, call_id, answer)
  local task = task_key(task_id)
  if redis.call('HSETNX', task, answer_field(call_id), answer) == 0 then return false end
  redis.call('HDEL', task, 'wait:' .. call_id)
  return true
end

-- Return whether a client is asked for the answer to a call: answers of services come with their tokens.
local function waits_for_client(task_id, call_id)
  local wait = redis.call('HGET', task_key(task_id), 'wait:' .. call_id)
  return wait and string.find(wait, 'client_tool ', 1, true) == 1
end

-- Put a task that waits back into its lane.
local function wake(task_id, detail)
  redis.call('ZREM', DELAYED, task_id)
  redis.call('HDEL', task_key(task_id), 'waiting_for')
  enqueue(task_id)
  trace_step(task_id, 'resumed', nil, detail)
end

-- Wake a task if it waits for this call; returns 1 if it does, else 0.
local function wake_for(task_id, call_id)
  local status, waiting_for = unpack(redis.call('HMGET', task_key(task_id), 'status', 'waiting_for'))
  if status ~= 'waiting' or not waiting_for then return 0 end
  for _, waited in ipairs(cjson.decode(waiting_for)) do
    if waited == call_id then
      wake(task_id, call_id)
      return 1
    end
  end
  return 0
end

-- Answer the calls that have timed out with the error of their kind (`errors`), and wake the task.
local function give_up_waits(task_id, waiting_for, errors)
  local task = task_key(task_id)
  local over = {}
  for _, call_id in ipairs(cjson.decode(waiting_for)) do
    local wait = redis.call('HGET', task, 'wait:' .. call_id)
    local kind, moment = string.match(wait or '', '^(%S+) (%d+)$')
    if kind and tonumber(moment) <= NOW and keep_answer(task_id, call_id, errors[kind]) then over[#over + 1] = call_id end
  end
  wake(task_id, 'timed out: ' .. table.concat(over, ', '))
end
