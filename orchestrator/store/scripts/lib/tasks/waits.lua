-- What a task waits for. Needs tenant.lua and queue.lua.
-- `wait:{call}` in its record holds the kind of the wait and the moment (ms) at which it is given up, until it is answered;
-- `waiting_for` names the calls (a JSON list) while the task is put aside for them. The answer is a checkpoint.

local function answer_field(call_id) return 'checkpoint:answer:' .. call_id end

-- Keep the answer to a call; returns whether it is the first one.
local function keep_answer(task_id, call_id, answer)
  local task = task_key(task_id)
  if redis.call('HSETNX', task, answer_field(call_id), answer) == 0 then return false end
  redis.call('HDEL', task, 'wait:' .. call_id)
  return true
end

-- Tell whether a client is asked for the answer to a call: those of services come with their tokens.
local function waits_for_client(task_id, call_id)
  local wait = redis.call('HGET', task_key(task_id), 'wait:' .. call_id)
  return wait and string.find(wait, 'client_tool ', 1, true) == 1
end

-- Let a task that was put aside go on.
local function wake(task_id, detail)
  redis.call('ZREM', DELAYED, task_id)
  redis.call('HDEL', task_key(task_id), 'waiting_for')
  enqueue(task_id)
  trace_step(task_id, 'resumed', nil, detail)
end

-- Let a task go on if it was put aside for this call; returns 1 if it does, else 0.
local function wake_for(task_id, call_id)
  local fields = redis.call('HMGET', task_key(task_id), 'status', 'waiting_for')
  if fields[1] ~= 'waiting' or not fields[2] then return 0 end
  for _, waited in ipairs(cjson.decode(fields[2])) do
    if waited == call_id then
      wake(task_id, call_id)
      return 1
    end
  end
  return 0
end

-- Answer what was waited for until now in vain, with the error of its kind; the task goes on.
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
