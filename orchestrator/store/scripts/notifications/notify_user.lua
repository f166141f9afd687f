-- Give a notification to one user; twice is once.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 user, 4 epoch for a log that begins now, 5 notification, 6 body of system.notification,
--       7 moment (ms) it was made, 8 moment (ms) at which it expires, 9 channel on which all processes hear of it
-- Returns: 1 if the user did not have it, else 0
-- Complexity: O(notifications to the tenant that the user has not seen)
--!include common/tenant
--!include common/events
--!include sessions/notifications
local user = ARGV[3]
collect_notifications(user, ARGV[4])
local fresh = 0
if tonumber(ARGV[8]) > NOW then fresh = deliver_notification(user, ARGV[5], ARGV[6], ARGV[7], ARGV[8]) end
prolong_reader(user)
if fresh == 1 then redis.call('PUBLISH', ARGV[9], user .. '\n' .. ARGV[6]) end
return fresh
