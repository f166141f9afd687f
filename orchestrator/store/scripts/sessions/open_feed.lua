-- Begin to follow all logs of a tenant, or go on: from now on they are told in the tenant's feed, for a while.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 the epoch of a feed that begins now, 4 seconds that the feed is kept,
--       5 ms for which it has pieces of answers too, or 0: as it was
-- Returns: nothing
-- Complexity: O(1), and O(events kept) where the feed begins anew
--!include common/tenant
--!include common/feed
--!include common/sound
local epoch, seconds, pieces_ms = ARGV[3], ARGV[4], tonumber(ARGV[5])

must_be_log(FEED)
if redis.call('HEXISTS', FEED, 'epoch') == 0 or redis.call('EXISTS', FEED_LOG) == 0 then
  redis.call('DEL', FEED_LOG)
  redis.call('HSET', FEED, 'epoch', epoch, 'offset', 1)
  redis.call('XADD', FEED_LOG, '0-1', 'e', epoch, 'n', 'feed.opened', 'b', '{}')
end
if pieces_ms > 0 then redis.call('HSET', FEED, 'pieces', string.format('%d', NOW + pieces_ms)) end
redis.call('EXPIRE', FEED, seconds)
redis.call('EXPIRE', FEED_LOG, seconds)
