-- The secrets that sign a tenant's callbacks: the current one, and for a while the one that it has replaced.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 a new secret, 4 '1' if it shall replace the current one,
--       5 ms for which the replaced one signs as well
-- Returns: {secret, the one before if it still signs}
-- Complexity: O(1)
--!include common/tenant
local new, rotate, overlap_ms = ARGV[3], ARGV[4] == '1', ARGV[5]

local known = redis.call('HGET', CONFIG, 'callback_secret')
if not known or rotate then redis.call('HSET', CONFIG, 'callback_secret', new) end
if known and rotate then
  redis.call('HSET', CONFIG, 'callback_secret_before', known, 'callback_secret_until', NOW + overlap_ms)
end
local secret, before, signs_until =
  unpack(redis.call('HMGET', CONFIG, 'callback_secret', 'callback_secret_before', 'callback_secret_until'))
if not signs_until then return {secret} end
if (tonumber(signs_until) or 0) > NOW then return {secret, before} end
redis.call('HDEL', CONFIG, 'callback_secret_before', 'callback_secret_until')
return {secret}
