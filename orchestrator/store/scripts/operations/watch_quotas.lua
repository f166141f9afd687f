#!lua flags=allow-oom
-- Find the quotas of a tenant that are nearly reached and were not told of yet, and take what was counted as dropped; what has
-- expired leaves the lists.
-- A quota is told of again after a day, or when less than 70% of it was used in between.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 seconds that records of tasks are kept, 4… the default of each limit, in the order of QUOTAS
-- Returns: {{name, used, limit}…}, {what was dropped, how many, …}
-- Complexity: O(open batches + tasks that have expired, 2000 of each list at most)
--!include common/tenant
--!include tasks/queue
--!include common/quotas
--!include common/dropped
local retain_seconds = ARGV[3]
local FIRST_DEFAULT = 4
local NEARLY, AGAIN, TOLD_SECONDS = 0.8, 0.7, 86400
local LOOKED_AT = 10
local TOLD = KEPT .. ':told'

local nearly = {}
for _, quota in ipairs(quotas_of({unpack(ARGV, FIRST_DEFAULT)})) do
  -- To run at its bound is what a bound of running tasks is for.
  if quota.name ~= 'concurrency' then
    if quota.used >= NEARLY * quota.limit and redis.call('SADD', TOLD, quota.name) == 1 then
      if redis.call('TTL', TOLD) < 0 then redis.call('EXPIRE', TOLD, TOLD_SECONDS) end
      nearly[#nearly + 1] = packed(quota)
    elseif quota.used < AGAIN * quota.limit then
      redis.call('SREM', TOLD, quota.name)
    end
  end
end
for _, suffix in ipairs({'', ':failed', ':cancelled', ':partial'}) do trim(INDEX .. suffix, NOW - retain_seconds * 1000) end
for _, old in ipairs(redis.call('ZRANGE', BATCHES, 0, LOOKED_AT - 1)) do
  if redis.call('EXISTS', batch_key(old)) == 0 then redis.call('ZREM', BATCHES, old) end
end
local dropped = redis.call('HGETALL', DROPPED)
if #dropped > 0 then redis.call('DEL', DROPPED) end
return {nearly, dropped}
