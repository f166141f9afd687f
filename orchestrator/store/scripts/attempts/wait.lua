#!lua flags=allow-oom
-- Let a running task wait until one of its calls is answered, or times out; it holds no slot meanwhile.
-- A call that has been answered already, or a cancel, wakes the task at once. A wait that it had before keeps its moment.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session, or '' for the task's own log,
--       6… of each wait: call, kind, ms until it times out, name and body of the event that asks for its answer, or '', ''
-- Returns: -1 if the attempt is no longer the current one, 0 if it was woken, else the moment (ms) at which it is woken
-- Complexity: O(waits + log of tasks delayed)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include tasks/waits
--!include common/sound
local task_id, attempt, session_id = ARGV[3], ARGV[4], ARGV[5]

if not holds(task_id, attempt) then return -1 end
local task = task_key(task_id)
must_be('zset', DELAYED)
must_be_log(session_id == '' and task or session_key(session_id))
dequeue(task_id)
local calls, earliest, answered = {}, nil, redis.call('HEXISTS', task, 'cancel') == 1 and 'cancel'
for i = 6, #ARGV, 5 do
  local call_id, kind, timeout_ms, event, body = unpack(ARGV, i, i + 4)
  calls[#calls + 1] = call_id
  if redis.call('HEXISTS', task, answer_field(call_id)) == 1 then
    answered = answered or call_id
  else
    local wait = redis.call('HGET', task, 'wait:' .. call_id)
    local moment = wait and tonumber(string.match(wait, '%d+$')) or NOW + tonumber(timeout_ms)
    if not wait then
      redis.call('HSET', task, 'wait:' .. call_id, kind .. ' ' .. string.format('%d', moment))
      if event ~= '' then append_for(task_id, session_id, event, body) end
    end
    earliest = math.min(earliest or moment, moment)
  end
end
redis.call('HINCRBY', task, 'parks', 1)
trace_step(task_id, 'parked', nil, table.concat(calls, ', '))
if answered then
  wake(task_id, answered)
  return 0
end
redis.call('HSET', task, 'status', 'waiting', 'waiting_for', cjson.encode(calls))
redis.call('ZADD', DELAYED, earliest, task_id)
return earliest
