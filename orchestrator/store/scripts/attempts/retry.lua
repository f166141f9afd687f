-- Let a failed task start over later. It holds no slot meanwhile; its session's next turns wait on, so their order stays.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session or '', 6 ms until it starts over, 7 ms that are left of its time,
--       8 error (JSON), 9 body of an event or '', 10 its name
-- Returns: -1 if the attempt is no longer the current one, else the moment (ms) at which it starts over
-- Complexity: O(log of tasks delayed)
--!include common/tenant
--!include common/events
--!include tasks/entries
local task_id, task = ARGV[3], task_key(ARGV[3])
if not holds(task_id, ARGV[4]) then return -1 end
dequeue(task_id)
-- One that somebody wants stopped is handed out at once, to be settled.
local due = redis.call('HEXISTS', task, 'cancel') == 1 and NOW or NOW + tonumber(ARGV[6])
redis.call('HSET', task, 'status', 'retrying', 'time_left', ARGV[7], 'retry_error', ARGV[8])
redis.call('HINCRBY', task, 'failures', 1)
redis.call('HDEL', task, 'node')
redis.call('ZADD', DELAYED, due, task_id)
trace_step(task_id, 'retried', nil, 'in ' .. (due - NOW) .. ' ms')
if ARGV[9] ~= '' then append_for(task_id, ARGV[5], ARGV[10], ARGV[9]) end
return due
