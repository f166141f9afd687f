-- Set when a tenant has something due, if that is earlier than what is set. By Redis' clock.
-- KEYS: 1 tenants by the moment (ms) of what is due next
-- ARGV: 1 tenant, 2 ms from now
-- Returns: 1 if the tenant was not there yet
-- Complexity: O(log of tenants)
local due = KEYS[1]
local tenant, delay_ms = ARGV[1], ARGV[2]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
return redis.call('ZADD', due, 'LT', now + delay_ms, tenant)
