-- Say that a tenant has work; those who listen are woken if it had none before.
-- KEYS: 1 ready tenants by virtual time, 2 virtual times of tenants without work that are ahead of the clock, 3 the clock
-- ARGV: 1 tenant, 2 channel
-- Returns: 1 if it was not there yet
-- Complexity: O(log of ready tenants)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
local clock = tonumber(redis.call('GET', KEYS[3]) or 0)
local debt = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
redis.call('ZADD', KEYS[1], math.max(clock, debt), ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
