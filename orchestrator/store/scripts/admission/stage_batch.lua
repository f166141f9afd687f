-- Keep items of a batch that is about to be created; they expire unless it is.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 seconds until they expire, 5… place and item (JSON without its braces) of each
-- Returns: how many are kept
-- Complexity: O(items)
--!include common/tenant
local batch_id, staged_seconds = ARGV[3], ARGV[4]
local FIRST_ITEM = 5

local items = 'orchestrator:batch:' .. TENANT .. ':' .. batch_id .. ':items'
redis.call('HSET', items, unpack(ARGV, FIRST_ITEM))
redis.call('EXPIRE', items, staged_seconds)
return redis.call('HLEN', items)
