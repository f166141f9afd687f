-- Take a tenant out of the list of those with open calls, unless somebody has put it there again meanwhile.
-- KEYS: 1 tenants by the moment (ms) at which to look
-- ARGV: 1 tenant, 2 the moment that it was given when it was taken
-- Returns: 1, or 0 where it stays
-- Complexity: O(1)
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
