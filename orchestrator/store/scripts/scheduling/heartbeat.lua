-- Keep the heartbeat of a process, and return those of all. By Redis' clock: two heartbeats of a process differ, and whether
-- one has changed is what the others go by; how long ago it was says little where the clock is set.
-- KEYS: 1 the sorted set of processes
-- ARGV: 1 node
-- Returns: {now (ms), process, moment of its heartbeat (ms)…}
-- Complexity: O(processes)
local nodes = KEYS[1]
local node = ARGV[1]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
redis.call('ZADD', nodes, now, node)
return {now, unpack(redis.call('ZRANGE', nodes, 0, -1, 'WITHSCORES'))}
