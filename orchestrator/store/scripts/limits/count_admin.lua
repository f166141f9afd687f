#!lua flags=allow-oom
-- Count a request of an API key to a route of administration.
-- KEYS: 1 the key's arrival time (ms)
-- ARGV: 1 requests a second, 2 burst (s)
-- Returns: {1, ms until the limit is whole, requests in its window, requests left of them} or
--       {0, wait ms, name of the limit}
-- Complexity: O(1)
local key, rate, burst_seconds = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local seconds, microseconds = unpack(redis.call('TIME'))
local NOW = seconds * 1000 + math.floor(microseconds / 1000)
--!include common/gcra

local tat, wait = gcra(key, rate, burst_seconds, 1)
if not tat then return {0, wait, 'rate_admin'} end
gcra_write(key, tat)
return {1, math.ceil(tat - NOW), rate_window(rate, burst_seconds, tat)}
