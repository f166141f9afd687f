-- Take a notification in, once for each idempotency key. One to the whole tenant is kept here for all its users.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 notification, 4 digest of the request, 5 '1' if the request carries an idempotency key,
--       6 seconds that idempotency is kept, 7 '1' if it is for the whole tenant, 8 body of system.notification,
--       9 moment (ms) it was made, 10 moment (ms) at which it expires, 11 channel of all processes,
--       12 what the tenant's feed is told of it
-- Returns: {'ok' or 'replayed', notification, body, moment it expires, moment it was made} of the first time, or {'reused'}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include sessions/notifications
local request = KEYS[2]
local id, digest, has_key, idempotency_seconds = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local is_wide, body, created, expires, channel, told = ARGV[7] == '1', ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]

if has_key then
  local known, first_id, first_body, first_expires, first_created =
    unpack(redis.call('HMGET', request, 'digest', 'answer', 'body', 'expires', 'created'))
  if known then
    if known ~= digest then return {'reused'} end
    return {'replayed', first_id, first_body, first_expires, first_created}
  end
  redis.call('HSET', request, 'digest', digest, 'answer', id, 'body', body, 'expires', expires, 'created', created)
  redis.call('EXPIRE', request, idempotency_seconds)
end
if is_wide then
  if redis.call('XLEN', WIDE) >= MOST then note_dropped('notifications', 1) end
  redis.call('XADD', WIDE, 'MAXLEN', MOST, '*', 'id', id, 'body', body, 'created', created, 'expires', expires)
  redis.call('EXPIRE', WIDE, KEPT_SECONDS)
  redis.call('PUBLISH', channel, told_to('*', body) .. '\n' .. body)
end
tell_feed('system.notification', function() return told end)
return {'ok', id, body, expires, created}
