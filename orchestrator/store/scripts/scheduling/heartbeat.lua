#!lua flags=allow-oom
-- Keep the heartbeat of a process and its load, and find the processes that have no heartbeat any more. By Redis' clock, so
-- that those of the processes need not agree.
-- KEYS: 1 the sorted set of processes, 2 the hash of their loads
-- ARGV: 1 node, 2 ms without heartbeat after which a process counts as gone, 3 its load (JSON) or ''
-- Returns: the processes that are gone
-- Complexity: O(log of processes)
local nodes, loads = KEYS[1], KEYS[2]
local node, timeout_ms, load = ARGV[1], ARGV[2], ARGV[3]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
redis.call('ZADD', nodes, now, node)
if load ~= '' then redis.call('HSET', loads, node, load) end
return redis.call('ZRANGEBYSCORE', nodes, '-inf', now - timeout_ms)
