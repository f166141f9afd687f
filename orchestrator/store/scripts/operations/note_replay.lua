-- Note at a task's record, where it is still there, that another task does it again.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 the other task
-- Returns: 1 if it is noted
-- Complexity: O(1)
--!include common/tenant
if redis.call('EXISTS', task_key(ARGV[3])) == 0 then return 0 end
redis.call('HSET', task_key(ARGV[3]), 'replayed_as', ARGV[4])
return 1
