#!lua flags=allow-oom
-- Keep how many bytes a tenant's keys were found to take, beside what was counted of it until now.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 bytes
-- Returns: 1
-- Complexity: O(1)
--!include common/tenant
--!include common/kept
local bytes = ARGV[3]

redis.call('HSET', KEPT, 'measured', bytes, 'counted', string.format('%d', (counted_bytes())))
redis.call('EXPIRE', KEPT, KEPT_SECONDS)
return 1
