#!lua flags=allow-oom
-- Keep how an attempt at a callback went; the same attempt is kept once, however often it is told.
-- KEYS: 1 the tenant's queue, 2 the log of what the callback tells of
-- ARGV: 1 tenant, 2 events kept, 3 the attempt (JSON), 4 attempts kept, 5 seconds for which the log is kept
-- Returns: nothing
-- Complexity: O(1)
local log = KEYS[2]
local attempt, kept, seconds = ARGV[3], ARGV[4], ARGV[5]

if redis.call('LINDEX', log, 0) == attempt then return end
redis.call('LPUSH', log, attempt)
redis.call('LTRIM', log, 0, kept - 1)
redis.call('EXPIRE', log, seconds)
