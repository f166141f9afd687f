#!lua flags=allow-oom
-- Count a failed credential of an address; the count goes when none has failed for a time.
-- KEYS: 1 the address' failures
-- ARGV: 1 ms after which the count goes
-- Returns: the failures
-- Complexity: O(1)
local failures, kept_ms = KEYS[1], ARGV[1]
local count = redis.call('INCR', failures)
redis.call('PEXPIRE', failures, kept_ms)
return count
