-- Give a notification to one user, once.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 user, 4 epoch for a log that begins now, 5 notification, 6 body of system.notification,
--       7 moment (ms) it was made, 8 moment (ms) at which it expires, 9 channel of all processes
-- Returns: 1 if the user did not have it, else 0
-- Complexity: O(notifications to the tenant that the user has not seen)
--!include common/tenant
--!include common/events
--!include sessions/notifications
local user, epoch, id, body = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local created, expires, channel = ARGV[7], ARGV[8], ARGV[9]

collect_notifications(user, epoch)
local fresh = 0
if tonumber(expires) > NOW then fresh = deliver_notification(user, id, body, created, expires) end
prolong_reader(user)
if fresh == 1 then redis.call('PUBLISH', channel, told_to(user, body) .. '\n' .. body) end
return fresh
