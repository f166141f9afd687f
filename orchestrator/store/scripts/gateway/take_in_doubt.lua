#!lua flags=allow-oom
-- Take open calls of the gateway whose lease has run out, for a while.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 for how long (ms)
-- Returns: {ms until the next one is due or -1, then of each: its name, its age (ms), its record}
-- Complexity: O(calls taken)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
local open_calls = KEYS[2]
local count, hold_ms = ARGV[3], ARGV[4]

local taken = {}
for _, call_id in ipairs(redis.call('ZRANGEBYSCORE', open_calls, '-inf', NOW, 'LIMIT', 0, count)) do
  local call = call_key(call_id)
  local begun = redis.call('HGET', call, 'begun')
  if begun then
    redis.call('ZADD', open_calls, NOW + hold_ms, call_id)
    redis.call('HINCRBY', call, 'looks', 1)
    taken[#taken + 1] = {call_id, NOW - begun, redis.call('HGETALL', call)}
  else
    redis.call('ZREM', open_calls, call_id)
  end
end
local next_due = redis.call('ZRANGE', open_calls, 0, 0, 'WITHSCORES')[2]
return {next_due and math.max(0, math.ceil(next_due - NOW)) or -1, unpack(taken)}
