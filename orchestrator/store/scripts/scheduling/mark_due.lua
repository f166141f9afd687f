-- Say that a tenant has something due in so many ms from now, by Redis' own clock.
-- KEYS: 1 tenants by the moment (ms) of what is due next
-- ARGV: 1 tenant, 2 ms from now
-- Returns: 1 if the tenant was not there yet
-- Complexity: O(log of tenants)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return redis.call('ZADD', KEYS[1], 'LT', now + ARGV[2], ARGV[1])
