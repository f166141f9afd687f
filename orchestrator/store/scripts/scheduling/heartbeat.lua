-- Say that a process lives, and learn which ones no longer do. By Redis' own clock, so that theirs need not agree.
-- KEYS: 1 the sorted set of processes
-- ARGV: 1 node, 2 ms without heartbeat after which one counts as gone
-- Returns: the processes that are gone
-- Complexity: O(log of processes)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
