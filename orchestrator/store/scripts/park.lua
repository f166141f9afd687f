-- Let a running task wait for its client's tool; it holds no slot meanwhile.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session, 6 tool call, 7 ms until it is given up, 8 body of tool.execute
-- Returns: -1 if the attempt is no longer the current one, else the moment (ms) at which it is given up
-- Complexity: O(log of tasks delayed)
--!include tenant
--!include events
--!include queue
local task_id = ARGV[3]
if not holds(task_id, ARGV[4]) then return -1 end
dequeue(task_id)
local due = NOW + tonumber(ARGV[7])
redis.call('HSET', task_key(task_id), 'status', 'waiting', 'waiting_for', ARGV[6])
redis.call('ZADD', DELAYED, due, task_id)
append_event(ARGV[5], 'tool.execute', ARGV[8])
trace_step(task_id, 'parked', nil, ARGV[6])
return due
