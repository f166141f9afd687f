-- Write a key that is read nowhere: where Redis takes no writes, it says here why.
-- KEYS: 1 the key
-- ARGV: 1 how long it is kept (ms)
-- Returns: OK
-- Complexity: O(1)
local probe = KEYS[1]
local kept_ms = ARGV[1]

return redis.call('SET', probe, '1', 'PX', kept_ms)
