#!lua flags=allow-oom
-- Keep the heartbeat of a process and its load, and return the heartbeats of all. By Redis' clock: two heartbeats of a process
-- differ, and whether one has changed is what the others go by; how long ago it was says little where the clock is set.
-- KEYS: 1 the sorted set of processes, 2 the hash of their loads
-- ARGV: 1 node, 2 its load (JSON) or ''
-- Returns: {now (ms), process, moment of its heartbeat (ms)…}
-- Complexity: O(processes)
local nodes, loads = KEYS[1], KEYS[2]
local node, load = ARGV[1], ARGV[2]

-- All of it or nothing: a heartbeat that is kept while its load can't be would look like a process that is well.
local found = redis.call('TYPE', loads).ok
if found ~= 'none' and found ~= 'hash' then error({err = 'WRONGTYPE ' .. loads .. ' is a ' .. found .. ', and should be a hash'}) end
local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
redis.call('ZADD', nodes, now, node)
if load ~= '' then redis.call('HSET', loads, node, load) end
return {now, unpack(redis.call('ZRANGE', nodes, 0, -1, 'WITHSCORES'))}
