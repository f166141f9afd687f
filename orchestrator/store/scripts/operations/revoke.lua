-- Revoke tokens: keep it, forget what has expired, and tell all processes. By Redis' own clock.
-- KEYS: 1 the sorted set of revocations
-- ARGV: 1 token, 2 user, 3 tenant ('' where not named), 4 ms to keep it, 5 the channel
-- Returns: the revocation, as JSON
-- Complexity: O(log of revocations + expired ones)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kept_until = now + ARGV[4]
-- Whole numbers of this size are written without an exponent only as text.
local revocation = string.format('{"jti":%s,"user_id":%s,"tenant_id":%s,"before_ms":%.0f,"until_ms":%.0f}',
  cjson.encode(ARGV[1]), cjson.encode(ARGV[2]), cjson.encode(ARGV[3]), now, kept_until)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], string.format('%.0f', kept_until), revocation)
redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
redis.call('PUBLISH', ARGV[5], revocation)
return revocation
