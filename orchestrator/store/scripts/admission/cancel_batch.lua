#!lua flags=allow-oom
-- Cancel a batch on behalf of a user: its waiting items never start, its running ones are asked to stop.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 user, 5 '1' if the user sees the whole tenant
-- Returns: 'unknown', 'done' (it was running), or 'ended' (it had ended, or was being stopped)
-- Complexity: O(items that are tasks at once)
--!include common/tenant
--!include tasks/queue
local batch_id, user, sees_all = ARGV[3], ARGV[4], ARGV[5] == '1'

local status, owner = unpack(redis.call('HMGET', batch_key(batch_id), 'status', 'user_id'))
if not status or (owner ~= user and not sees_all) then return 'unknown' end
if status ~= 'running' then return 'ended' end
stop_batch(batch_id, 'cancelled', stopped_by(owner, user))
return 'done'
