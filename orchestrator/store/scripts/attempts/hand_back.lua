#!lua flags=allow-oom
-- Put a running task back into its lane, for any process to go on from its checkpoints at once.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/entries
local task_id, attempt = ARGV[3], ARGV[4]

if not holds(task_id, attempt) then return -1 end
dequeue(task_id)
enqueue(task_id)
trace_step(task_id, 'handed_back', redis.call('HGET', task_key(task_id), 'node'))
redis.call('HDEL', task_key(task_id), 'node')
return 1
