-- Note that a user has read a notification; the first time counts, and is appended to the user's log.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 user, 4 epoch for a log that begins now, 5 notification, 6 moment (ms) of the request,
--       7 body of notification.acknowledged
-- Returns: {} where the user has no such notification, else {body, moment (ms) of the acknowledgement}
-- Complexity: O(notifications to the tenant that the user has not seen)
--!include common/tenant
--!include common/events
--!include sessions/notifications
local user, epoch, id, moment, acknowledged_body = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local reader = reader_key(user)
collect_notifications(user, epoch)
local body = redis.call('HGET', reader .. ':bodies', id)
if body and redis.call('HSETNX', reader .. ':acks', id, moment) == 1 then
  append_to(reader, 'notifications:' .. user, 'notification.acknowledged', acknowledged_body)
  tell_feed('notification.acknowledged', function()
    local told = cjson.decode(acknowledged_body)
    return cjson.encode({kind = 'notification', id = id, user_id = user, at = told.created_at, data = told.data})
  end)
end
prolong_reader(user)
if not body then return {} end
return {body, redis.call('HGET', reader .. ':acks', id)}
