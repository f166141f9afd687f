-- Let the event log of a session go on where its record counts other events than the log has, so that no offset is used twice in
-- one epoch. Where the record counts too few, the log says which offsets were used. Where it counts too many, some may have been
-- used that the log has lost, or left out: the log goes on behind its last event, in another epoch.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 the next epoch
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(1)
--!include common/tenant
--!include sessions/newest
local session_id, next_epoch = ARGV[3], ARGV[4]

local session = session_key(session_id)
local offset = tonumber(redis.call('HGET', session, 'offset') or '')
local last = newest_event(session)
if not offset or not last or offset == last then return 0 end
if offset > last then redis.call('HSET', session, 'epoch', next_epoch) end
redis.call('HSET', session, 'offset', string.format('%d', last))
return 1
