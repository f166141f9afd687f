-- Read how much of its quotas a tenant uses.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… the default of each limit, in the order of QUOTAS
-- Returns: {name, used, limit or ''}…
-- Complexity: O(open batches)
--!include common/tenant
--!include tasks/queue
--!include common/quotas
local FIRST_DEFAULT = 3

local reply = {}
for i, quota in ipairs(quotas_of({unpack(ARGV, FIRST_DEFAULT)})) do reply[i] = packed(quota) end
return reply
