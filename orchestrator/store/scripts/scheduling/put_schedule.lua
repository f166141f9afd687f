-- Create or change a schedule.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule, 4 '1' if it is new, 5 digest of the request,
--       6 moment of the next run (ms), or '' where there is none, 7 default of schedules, 8 of bytes, 9… field, value
-- Returns: {'ok'}, {'replayed'} (it was created by the same request), {'reused'} (by another one),
--       {'full', name of the quota} or {'unknown'}
-- Complexity: O(log of schedules)
--!include common/tenant
--!include common/limits
--!include common/kept
--!include tasks/schedules
local schedule_id, is_new, digest, next_ms = ARGV[3], ARGV[4] == '1', ARGV[5], ARGV[6]
local schedules_default, bytes_default = ARGV[7], ARGV[8]
local FIRST_FIELD = 9

local schedule = schedule_key(schedule_id)
local known = redis.call('HGET', schedule, 'digest')
local more = is_new and OVERHEAD or 0
for i = FIRST_FIELD, #ARGV, 2 do more = more + #ARGV[i + 1] - redis.call('HSTRLEN', schedule, ARGV[i]) end
if is_new then
  if known then return {known == digest and 'replayed' or 'reused'} end
  if redis.call('ZCARD', SCHEDULES) >= limit_of('schedules', schedules_default) then return {'full', 'schedules'} end
elseif not known then
  return {'unknown'}
end
if more > 0 and kept_bytes() + more > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end
if is_new then
  redis.call('HSET', schedule, 'schedule_id', schedule_id, 'digest', digest, 'created_at', NOW)
  redis.call('ZADD', SCHEDULES, NOW, schedule_id)
end
redis.call('HINCRBY', schedule, 'bytes', more)
keep_open(more)
redis.call('HSET', schedule, 'updated_at', NOW, unpack(ARGV, FIRST_FIELD))
set_next(schedule_id, next_ms)
return {'ok'}
