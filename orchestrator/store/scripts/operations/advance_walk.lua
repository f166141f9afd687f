#!lua flags=allow-oom
-- Take what a step of the walk over all keys has found, unless another process has taken that step.
-- KEYS: 1 the hash of the walk: the cursor of the next step, the moment of the last one, and bytes by tenant
-- ARGV: 1 cursor from which the step was taken, or '' at the beginning, 2 cursor of the next step, '0' at the end,
--       3 moment (ms), then tenant, bytes of each
-- Returns: {} until the end, then tenant, bytes of each, among fields of the walk itself, which begin with ':'
-- Complexity: O(tenants)
local walk = KEYS[1]
local begun, following, moment = ARGV[1], ARGV[2], ARGV[3]
local FIRST_TENANT, ABANDONED_SECONDS = 4, 86400

if (redis.call('HGET', walk, ':cursor') or '') ~= begun then return {} end
for i = FIRST_TENANT, #ARGV, 2 do redis.call('HINCRBY', walk, ARGV[i], ARGV[i + 1]) end
if following == '0' then
  local found = redis.call('HGETALL', walk)
  redis.call('DEL', walk)
  return found
end
redis.call('HSET', walk, ':cursor', following, ':moment', moment)
redis.call('EXPIRE', walk, ABANDONED_SECONDS)
return {}
