-- Remove a tenant from those with open calls, unless it was given another moment since it was taken.
-- KEYS: 1 tenants by the moment (ms) at which their calls are looked at
-- ARGV: 1 tenant, 2 the moment that it was given when it was taken
-- Returns: 1, or 0 where it stays
-- Complexity: O(1)
local tenants = KEYS[1]
local tenant, moment = ARGV[1], tonumber(ARGV[2])

if tonumber(redis.call('ZSCORE', tenants, tenant) or -1) ~= moment then return 0 end
return redis.call('ZREM', tenants, tenant)
