#!lua flags=allow-oom
-- Note that the user has answered the input request of a workflow: the request is no longer shown. Progress that was reported
-- since the request was read stays.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 offset of its log when the request was read, 5 its progress without the request
--       (JSON), 6 name and 7 body of the event
-- Returns: 1, or 0 where progress was reported since, or the task has ended
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, offset, progress, event, body = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local task = task_key(task_id)
local current, finished_at = unpack(redis.call('HMGET', task, 'offset', 'finished_at'))
if current ~= offset or finished_at then return 0 end
redis.call('HSET', task, 'progress', progress, 'updated_at', NOW)
append_for(task_id, '', event, body)
return 1
