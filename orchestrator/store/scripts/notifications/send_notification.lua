-- Take a notification in: once for each idempotency key, and where it is for the whole tenant, for all its users.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 notification, 4 digest of the request, 5 '1' if the request carries an idempotency key,
--       6 seconds that idempotency is kept, 7 '1' if it is for the whole tenant, 8 body of system.notification,
--       9 moment (ms) it was made, 10 moment (ms) at which it expires, 11 channel on which all processes hear of it
-- Returns: {'ok' or 'replayed', notification, body, moment it expires, moment it was made} of the first time, or {'reused'}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include sessions/notifications
if ARGV[5] == '1' then
  local known = redis.call('HMGET', KEYS[2], 'digest', 'answer', 'body', 'expires', 'created')
  if known[1] then
    if known[1] ~= ARGV[4] then return {'reused'} end
    return {'replayed', known[2], known[3], known[4], known[5]}
  end
  redis.call('HSET', KEYS[2], 'digest', ARGV[4], 'answer', ARGV[3], 'body', ARGV[8], 'expires', ARGV[10], 'created', ARGV[9])
  redis.call('EXPIRE', KEYS[2], ARGV[6])
end
if ARGV[7] == '1' then
  redis.call('XADD', WIDE, 'MAXLEN', MOST, '*', 'id', ARGV[3], 'body', ARGV[8], 'created', ARGV[9], 'expires', ARGV[10])
  redis.call('EXPIRE', WIDE, KEPT_SECONDS)
  redis.call('PUBLISH', ARGV[11], '*\n' .. ARGV[8])
end
return {'ok', ARGV[3], ARGV[8], ARGV[10], ARGV[9]}
