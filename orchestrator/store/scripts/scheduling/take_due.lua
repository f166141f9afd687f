-- Take the tenants out that have something due. By Redis' own clock, so that those of the processes need not agree.
-- KEYS: 1 tenants by the moment (ms) of what is due next
-- ARGV: 1 how many at most
-- Returns: {ms until the next one of the others is due or -1, tenant…}
-- Complexity: O(tenants taken)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
local following = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {following[2] and math.max(0, math.ceil(following[2] - now)) or -1, unpack(due)}
