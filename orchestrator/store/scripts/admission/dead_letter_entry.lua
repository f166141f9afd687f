-- Give up an entry of a lane that is no task, and say why.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry, 5 task that it names or '', 6 error (JSON), 7 what it held, cut
-- Returns: 1, or 0 if somebody else has dealt with it
-- Complexity: O(1)
--!include common/tenant
if redis.call('XDEL', lane_key(ARGV[3]), ARGV[4]) == 0 then return 0 end
redis.pcall('XACK', lane_key(ARGV[3]), GROUP, ARGV[4])
redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', ARGV[5], 'error', ARGV[6], 'message', ARGV[7],
  'attempts', 0, 'at', NOW)
return 1
