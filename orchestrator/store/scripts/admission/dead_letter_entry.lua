#!lua flags=allow-oom
-- Move an entry of a lane that is no task to the dead letters, with the reason.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry, 5 task that it names or '', 6 error (JSON), 7 what it held, cut
-- Returns: 1, or 0 if another process has dealt with it
-- Complexity: O(1)
--!include common/tenant
--!include common/dead_letters
local lane, entry, task_id, err, kept = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

if redis.call('XDEL', lane_key(lane), entry) == 0 then return 0 end
redis.pcall('XACK', lane_key(lane), GROUP, entry)
dead_letter('task_id', task_id, 'error', err, 'message', kept,
  'attempts', 0, 'at', NOW)
return 1
