-- Keep the heartbeat of a process, and find the processes that have none any more. By Redis' clock, so that those of the
-- processes need not agree.
-- KEYS: 1 the sorted set of processes
-- ARGV: 1 node, 2 ms without heartbeat after which a process counts as gone
-- Returns: the processes that are gone
-- Complexity: O(log of processes)
local nodes = KEYS[1]
local node, timeout_ms = ARGV[1], ARGV[2]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
redis.call('ZADD', nodes, now, node)
return redis.call('ZRANGEBYSCORE', nodes, '-inf', now - timeout_ms)
