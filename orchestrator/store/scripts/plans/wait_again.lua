-- Take back that a call was given up, so that its answer counts again whenever it comes.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 call
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
--!include tasks/waits
if not holds(ARGV[3], ARGV[4]) then return -1 end
redis.call('HDEL', task_key(ARGV[3]), answer_field(ARGV[5]))
trace_step(ARGV[3], 'waits_again', nil, ARGV[5])
return 1
