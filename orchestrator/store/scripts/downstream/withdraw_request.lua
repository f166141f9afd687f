-- Take a request back: from the queue if nobody has begun it, and by word to who has.
-- KEYS: 1 the queue of the service for one tenant
-- ARGV: 1 the entry's id, 2 the service's channel for cancels, 3 the message's id
-- Returns: how many consumers were told
-- Complexity: O(1)
redis.call('XDEL', KEYS[1], ARGV[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
