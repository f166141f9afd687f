-- Take an entry out of its lane that belongs to no task; one without a task record goes to the dead letters.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(1)
--!include common/tenant
local KEPT = 4096  -- bytes: what somebody wrote by hand may be of any length
local lane = lane_key(ARGV[3])
local item = redis.call('XRANGE', lane, ARGV[4], ARGV[4])[1]
if not item then return 0 end
local named = {}
for i = 1, #item[2], 2 do named[item[2][i]] = item[2][i + 1] end
local record = named.task_id and redis.call('HMGET', task_key(named.task_id), 'status', 'entry') or {}
if record[1] and record[2] == ARGV[4] then return 0 end
if not record[1] then
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', string.sub(named.task_id or '', 1, 200),
    'message', string.sub(named.message or '', 1, KEPT), 'reason', 'the entry has no task record', 'at', NOW)
end
redis.pcall('XACK', lane, GROUP, ARGV[4])
redis.call('XDEL', lane, ARGV[4])
return 1
