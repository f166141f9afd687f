-- Note that the user has answered what a workflow asked: the request is no longer shown. News that came since then stay.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 offset of its log when the request was read, 5 its progress without the request
--       (JSON), 6 name and 7 body of the event that tells of it
-- Returns: 1, or 0 where there are newer news, or the task has ended
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, task = ARGV[3], task_key(ARGV[3])
local fields = redis.call('HMGET', task, 'offset', 'finished_at')
if fields[1] ~= ARGV[4] or fields[2] then return 0 end
redis.call('HSET', task, 'progress', ARGV[5])
append_for(task_id, '', ARGV[6], ARGV[7])
return 1
