-- Bring a user's notifications up to date.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 user, 4 epoch for a log that begins now
-- Returns: how many are not acknowledged
-- Complexity: O(notifications to the tenant that the user has not seen)
--!include common/tenant
--!include common/events
--!include sessions/notifications
local user, epoch = ARGV[3], ARGV[4]

collect_notifications(user, epoch)
prolong_reader(user)
local reader = reader_key(user)
return redis.call('ZCARD', reader .. ':order') - redis.call('HLEN', reader .. ':acks')
