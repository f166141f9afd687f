-- Note in a task's record, where it is still there, which task replays it.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 the task that replays it
-- Returns: 1 if it is noted
-- Complexity: O(1)
--!include common/tenant
local task_id, replay_id = ARGV[3], ARGV[4]

if redis.call('EXISTS', task_key(task_id)) == 0 then return 0 end
redis.call('HSET', task_key(task_id), 'replayed_as', replay_id)
return 1
