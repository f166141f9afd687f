-- Note that a schedule has run, if it still stands at the moment that it ran for (compare and set).
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule, 4 moment (ms) that it ran for, 5 moment of the next run or '',
--       6… field, value; an empty value takes the field away
-- Returns: 1, or 0 if the schedule was changed, deleted or settled meanwhile
-- Complexity: O(log of schedules)
--!include common/tenant
--!include tasks/schedules
local id = ARGV[3]
local schedule = schedule_key(id)
if redis.call('HGET', schedule, 'next_at') ~= ARGV[4] then return 0 end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', schedule, ARGV[i])
  else
    redis.call('HSET', schedule, ARGV[i], ARGV[i + 1])
  end
end
set_next(id, ARGV[5])
return 1
