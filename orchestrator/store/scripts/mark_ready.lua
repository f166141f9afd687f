-- Say that a tenant has work; those who listen are woken if it had none before.
-- KEYS: 1 the set of ready tenants
-- ARGV: 1 tenant, 2 channel, 3 '1' if the tenant has just had its turn and goes to the end
-- Returns: 1 if it was not there yet
-- Complexity: O(log of ready tenants)
local edge
if ARGV[3] == '1' then
  edge = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  edge = tonumber(edge[2] or 0) + 1
else
  edge = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  edge = tonumber(edge[2] or 0)
end
local added = redis.call('ZADD', KEYS[1], 'NX', edge, ARGV[1])
if added == 1 then redis.call('PUBLISH', ARGV[2], ARGV[1]) end
return added
