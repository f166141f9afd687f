#!lua flags=allow-oom
-- Count a request against the limit of its class.
-- KEYS: 1 the tenant's queue, 2 the class' arrival time (ms)
-- ARGV: 1 tenant, 2 events kept, 3 name of the limit, 4 its default, 5 burst (s)
-- Returns: {1, ms until the limit is whole, requests in its window, requests left of them}, {0, wait ms, name of the
--       limit}, or {2}: there is none
-- Complexity: O(1)
--!include common/tenant
--!include common/gcra
--!include common/limits
local key, name, default, burst_seconds = KEYS[2], ARGV[3], ARGV[4], ARGV[5]

local rate = limit_of(name, default)
if rate == math.huge then return {2} end
local tat, wait = gcra(key, rate, burst_seconds, 1)
if not tat then return {0, wait, name} end
gcra_write(key, tat)
return {1, math.ceil(tat - NOW), rate_window(rate, burst_seconds, tat)}
