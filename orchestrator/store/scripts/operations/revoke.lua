#!lua flags=allow-oom
-- Revoke tokens: keep the revocation, drop the expired ones, and publish it to all processes. By Redis' clock.
-- KEYS: 1 the sorted set of revocations
-- ARGV: 1 token, 2 user, 3 tenant ('' where not named), 4 ms to keep it, 5 the channel
-- Returns: the revocation, as JSON
-- Complexity: O(log of revocations + expired ones)
local revocations = KEYS[1]
local jti, user, tenant, kept_ms, channel = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
local kept_until = now + kept_ms
-- Whole numbers of this size are written without an exponent only as text.
local revocation = string.format('{"jti":%s,"user_id":%s,"tenant_id":%s,"before_ms":%.0f,"until_ms":%.0f}',
  cjson.encode(jti), cjson.encode(user), cjson.encode(tenant), now, kept_until)
redis.call('ZREMRANGEBYSCORE', revocations, '-inf', now)
redis.call('ZADD', revocations, string.format('%.0f', kept_until), revocation)
redis.call('PEXPIREAT', revocations, redis.call('ZRANGE', revocations, -1, -1, 'WITHSCORES')[2])
redis.call('PUBLISH', channel, revocation)
return revocation
