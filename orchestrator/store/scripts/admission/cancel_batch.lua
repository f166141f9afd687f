-- Cancel a batch on a person's behalf: what has not started never will, what runs is asked to stop.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 user, 5 '1' if the user sees the whole tenant
-- Returns: 'unknown', 'done' (it was running), or 'ended' (it had ended, or was being stopped)
-- Complexity: O(items that are tasks at once)
--!include common/tenant
--!include tasks/queue
local fields = redis.call('HMGET', batch_key(ARGV[3]), 'status', 'user_id')
if not fields[1] or (fields[2] ~= ARGV[4] and ARGV[5] ~= '1') then return 'unknown' end
if fields[1] ~= 'running' then return 'ended' end
stop_batch(ARGV[3], 'cancelled')
return 'done'
