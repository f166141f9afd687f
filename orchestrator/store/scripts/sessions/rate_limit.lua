-- Count a request against its tenant's and its user's rate limit: against both, or neither.
-- KEYS: 1 the tenant's queue, 2 the tenant's rate limit, 3 the user's rate limit
-- ARGV: 1 tenant, 2 events kept, 3 rate of the tenant, 4 of the user, 5 burst (s), 6 cost
-- Returns: {1, ms until the narrower limit is whole} or {0, wait ms}
-- Complexity: O(1)
--!include common/tenant
--!include common/gcra
--!include common/config
local tenant_tat, wait = gcra(KEYS[2], limit_of('rate', ARGV[3]), ARGV[5], ARGV[6])
if not tenant_tat then return {0, wait} end
local user_tat
user_tat, wait = gcra(KEYS[3], ARGV[4], ARGV[5], ARGV[6])
if not user_tat then return {0, wait} end
gcra_write(KEYS[2], tenant_tat)
gcra_write(KEYS[3], user_tat)
return {1, math.ceil(math.max(tenant_tat, user_tat) - NOW)}
