#!lua flags=allow-oom
-- Drop the answer of a call that has timed out, so that the service's own answer counts whenever it comes.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 call
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
--!include tasks/waits
local task_id, attempt, call_id = ARGV[3], ARGV[4], ARGV[5]

if not holds(task_id, attempt) then return -1 end
redis.call('HDEL', task_key(task_id), answer_field(call_id))
trace_step(task_id, 'waits_again', nil, call_id)
return 1
