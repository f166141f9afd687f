#!lua flags=allow-oom
-- Mark a tenant as ready: it has work. Its listeners are woken if it was not ready before.
-- KEYS: 1 ready tenants by virtual time, 2 virtual times of tenants without work that are ahead of the clock, 3 the clock
-- ARGV: 1 tenant, 2 channel
-- Returns: 1 if it was not there yet
-- Complexity: O(log of ready tenants)
local ready, debts, clock_key = KEYS[1], KEYS[2], KEYS[3]
local tenant, channel = ARGV[1], ARGV[2]

if redis.call('ZSCORE', ready, tenant) then return 0 end
local clock = tonumber(redis.call('GET', clock_key) or 0) or 0
local debt = tonumber(redis.call('ZSCORE', debts, tenant) or 0)
redis.call('ZADD', ready, math.max(clock, debt), tenant)
redis.call('ZREM', debts, tenant)
redis.call('PUBLISH', channel, tenant)
return 1
