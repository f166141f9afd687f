-- Lay items of a batch ready that is about to be created; unless it is, they go after a while.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 seconds until they go, 5… place and item (JSON without its braces) of each
-- Returns: how many are ready
-- Complexity: O(items)
--!include common/tenant
local items = 'orchestrator:batch:' .. TENANT .. ':' .. ARGV[3] .. ':items'
redis.call('HSET', items, unpack(ARGV, 5))
redis.call('EXPIRE', items, ARGV[4])
return redis.call('HLEN', items)
