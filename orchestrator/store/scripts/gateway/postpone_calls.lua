-- Say when open calls of the gateway are to be looked after, if nobody has ended them by then.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 in how many ms, then calls
-- Returns: how many of them are open
-- Complexity: O(calls)
--!include common/tenant
local open = 0
for at = 4, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[at]) then
    redis.call('ZADD', KEYS[2], NOW + ARGV[3], ARGV[at])
    open = open + 1
  end
end
return open
