-- Create or change a schedule.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule, 4 how many a tenant may have, or '' for a change, 5 digest of the request,
--       6 moment of the next run (ms), or '' where there is none, 7… field, value
-- Returns: 'ok', 'replayed' (it was created by the same request), 'reused' (by another one), 'full' or 'unknown'
-- Complexity: O(log of schedules)
--!include common/tenant
--!include tasks/schedules
local id, new = ARGV[3], ARGV[4] ~= ''
local schedule = schedule_key(id)
local digest = redis.call('HGET', schedule, 'digest')
if new then
  if digest then return digest == ARGV[5] and 'replayed' or 'reused' end
  if redis.call('ZCARD', SCHEDULES) >= tonumber(ARGV[4]) then return 'full' end
  redis.call('HSET', schedule, 'schedule_id', id, 'digest', ARGV[5], 'created_at', NOW)
  redis.call('ZADD', SCHEDULES, NOW, id)
elseif not digest then
  return 'unknown'
end
redis.call('HSET', schedule, 'updated_at', NOW, unpack(ARGV, 7))
set_next(id, ARGV[6])
return 'ok'
