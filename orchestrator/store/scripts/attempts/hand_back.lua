-- Put a running task back into its lane, for any process to go on from its checkpoints at once.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/entries
if not holds(ARGV[3], ARGV[4]) then return -1 end
dequeue(ARGV[3])
enqueue(ARGV[3])
trace_step(ARGV[3], 'handed_back', redis.call('HGET', task_key(ARGV[3]), 'node'))
redis.call('HDEL', task_key(ARGV[3]), 'node')
return 1
