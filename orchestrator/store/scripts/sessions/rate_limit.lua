#!lua flags=allow-oom
-- Count a request against its tenant's and its user's rate limit: against both, or neither.
-- KEYS: 1 the tenant's queue, 2 the tenant's rate limit, 3 the user's rate limit
-- ARGV: 1 tenant, 2 events kept, 3 rate of the tenant, 4 of the user, 5 burst (s), 6 cost
-- Returns: {1, ms until the nearer limit is whole, requests in its window, requests left of them} or
--       {0, wait ms, name of the limit that is reached}
-- Complexity: O(1)
--!include common/tenant
--!include common/gcra
--!include common/limits
local tenant_rate_key, user_rate_key = KEYS[2], KEYS[3]
local tenant_rate, user_rate, burst_seconds, cost = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

tenant_rate, user_rate = limit_of('rate', tenant_rate), limit_of('rate_user', user_rate)
local tenant_tat, wait = gcra(tenant_rate_key, tenant_rate, burst_seconds, cost)
if not tenant_tat then return {0, wait, 'rate'} end
local user_tat
user_tat, wait = gcra(user_rate_key, user_rate, burst_seconds, cost)
if not user_tat then return {0, wait, 'rate_user'} end
gcra_write(tenant_rate_key, tenant_tat)
gcra_write(user_rate_key, user_tat)
return {1, nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)}
