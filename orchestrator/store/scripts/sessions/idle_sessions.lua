-- Find the sessions whose idle timer has run out.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most
-- Returns: sessions, the longest idle first
-- Complexity: O(log of sessions + sessions found)
--!include common/tenant
local count = ARGV[3]

return redis.call('ZRANGEBYSCORE', TIMERS, '-inf', NOW, 'LIMIT', 0, count)
