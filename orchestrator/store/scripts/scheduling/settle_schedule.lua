-- Note that a schedule has run, if its next run is still the one that ran (compare and set).
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule, 4 moment (ms) that it ran for, 5 moment of the next run or '',
--       6… field, value ('' removes the field)
-- Returns: 1, or 0 if the schedule was changed, deleted or settled meanwhile
-- Complexity: O(log of schedules)
--!include common/tenant
--!include tasks/schedules
local schedule_id, ran_ms, next_ms = ARGV[3], ARGV[4], ARGV[5]
local FIRST_FIELD = 6

local schedule = schedule_key(schedule_id)
if redis.call('HGET', schedule, 'next_at') ~= ran_ms then return 0 end
for i = FIRST_FIELD, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value == '' then
    redis.call('HDEL', schedule, field)
  else
    redis.call('HSET', schedule, field, value)
  end
end
set_next(schedule_id, next_ms)
return 1
