-- Withdraw a request: from the queue, and by a message to the consumer that may have begun it.
-- KEYS: 1 the queue of the service for one tenant
-- ARGV: 1 the entry's id, 2 the service's channel for cancels, 3 the message's id
-- Returns: how many consumers were told
-- Complexity: O(1)
local queue = KEYS[1]
local entry, channel, message_id = ARGV[1], ARGV[2], ARGV[3]

redis.call('XDEL', queue, entry)
return redis.call('PUBLISH', channel, message_id)
