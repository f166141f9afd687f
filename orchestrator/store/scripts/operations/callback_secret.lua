-- The secrets that sign a tenant's callbacks: the one that holds, and for a while the one that it has replaced.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 a new secret, 4 '1' if it shall replace the one that holds,
--       5 ms for which the replaced one signs as well
-- Returns: {secret, the one before if it still signs}
-- Complexity: O(1)
--!include common/tenant
local known = redis.call('HGET', CONFIG, 'callback_secret')
if not known or ARGV[4] == '1' then redis.call('HSET', CONFIG, 'callback_secret', ARGV[3]) end
if known and ARGV[4] == '1' then
  redis.call('HSET', CONFIG, 'callback_secret_before', known, 'callback_secret_until', NOW + ARGV[5])
end
local fields = redis.call('HMGET', CONFIG, 'callback_secret', 'callback_secret_before', 'callback_secret_until')
if not fields[3] then return {fields[1]} end
if tonumber(fields[3]) > NOW then return {fields[1], fields[2]} end
redis.call('HDEL', CONFIG, 'callback_secret_before', 'callback_secret_until')
return {fields[1]}
