#!lua flags=allow-oom
-- Set when a tenant has something due, if that is earlier than what is set. By Redis' clock.
-- KEYS: 1 tenants by the moment (ms) of what is due next
-- ARGV: 1 tenant, 2 a moment (ms), or '', 3 ms from now instead
-- Returns: 1 if the tenant was not there yet
-- Complexity: O(log of tenants)
local due = KEYS[1]
local tenant, moment, delay_ms = ARGV[1], ARGV[2], ARGV[3]

if moment ~= '' then return redis.call('ZADD', due, 'LT', moment, tenant) end
local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
return redis.call('ZADD', due, 'LT', now + delay_ms, tenant)
