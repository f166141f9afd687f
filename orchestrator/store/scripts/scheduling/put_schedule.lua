-- Create or change a schedule.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule, 4 how many a tenant may have, or '' for a change, 5 digest of the request,
--       6 moment of the next run (ms), or '' where there is none, 7… field, value
-- Returns: 'ok', 'replayed' (it was created by the same request), 'reused' (by another one), 'full' or 'unknown'
-- Complexity: O(log of schedules)
--!include common/tenant
--!include tasks/schedules
local schedule_id, limit, digest, next_ms = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local FIRST_FIELD = 7

local schedule = schedule_key(schedule_id)
local known = redis.call('HGET', schedule, 'digest')
if limit ~= '' then
  if known then return known == digest and 'replayed' or 'reused' end
  if redis.call('ZCARD', SCHEDULES) >= tonumber(limit) then return 'full' end
  redis.call('HSET', schedule, 'schedule_id', schedule_id, 'digest', digest, 'created_at', NOW)
  redis.call('ZADD', SCHEDULES, NOW, schedule_id)
elseif not known then
  return 'unknown'
end
redis.call('HSET', schedule, 'updated_at', NOW, unpack(ARGV, FIRST_FIELD))
set_next(schedule_id, next_ms)
return 'ok'
