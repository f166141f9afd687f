-- Take open calls of the gateway that nobody looks after any more, for a while.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 for how long (ms)
-- Returns: {ms until the next one is due or -1, then of each: its name, its age (ms), its record}
-- Complexity: O(calls taken)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', NOW, 'LIMIT', 0, ARGV[3])) do
  local begun = redis.call('HGET', call_key(id), 'begun')
  if begun then
    redis.call('ZADD', KEYS[2], NOW + ARGV[4], id)
    redis.call('HINCRBY', call_key(id), 'looks', 1)
    taken[#taken + 1] = {id, NOW - begun, redis.call('HGETALL', call_key(id))}
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
local following = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
return {following and math.max(0, math.ceil(following - NOW)) or -1, unpack(taken)}
