-- Take tenants with calls of the gateway that somebody may have to look after. They stay in the list, for later: whoever
-- takes them may die. By Redis' own clock.
-- KEYS: 1 tenants by the moment (ms) at which to look
-- ARGV: 1 how many at most, 2 for how long (ms)
-- Returns: {ms until the next one of the others is due or -1, the moment at which those taken are due again, tenant…}
-- Complexity: O(tenants taken)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, tenant in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], tenant) end
local following = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {following and math.max(0, math.ceil(following - now)) or -1, now + ARGV[2], unpack(due)}
