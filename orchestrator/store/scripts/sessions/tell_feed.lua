-- Tell the feed of a tenant of something that is in none of its logs.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 name, 4 body (JSON)
-- Returns: nothing
-- Complexity: O(1)
--!include common/tenant
--!include common/feed
local name, body = ARGV[3], ARGV[4]

tell_feed(name, function() return body end)
