-- Take the result of a client's tool, and let the task that waits for it go on.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 tool call, 5 result (JSON), 6 body of tool.result
-- Returns: 1, or 0 if no task of the session waits for this tool call
-- Complexity: O(log of tasks delayed)
--!include tenant
--!include events
--!include queue
local task_id = redis.call('HGET', session_key(ARGV[3]), 'active_task_id')
if not task_id then return 0 end
local fields = redis.call('HMGET', task_key(task_id), 'status', 'waiting_for')
if fields[1] ~= 'waiting' or fields[2] ~= ARGV[4] then return 0 end
redis.call('ZREM', DELAYED, task_id)
redis.call('HSET', task_key(task_id), 'checkpoint:tool:' .. ARGV[4], ARGV[5])
redis.call('HDEL', task_key(task_id), 'waiting_for')
append_event(ARGV[3], 'tool.result', ARGV[6])
enqueue(task_id)
trace_step(task_id, 'resumed', nil, ARGV[4])
return 1
