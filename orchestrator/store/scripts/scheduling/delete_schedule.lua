-- Delete a schedule.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 schedule
-- Returns: 1, or 0 if there was none
-- Complexity: O(log of schedules)
--!include common/tenant
--!include common/kept
--!include tasks/schedules
local schedule_id = ARGV[3]

keep_open(-(redis.call('HGET', schedule_key(schedule_id), 'bytes') or 0))
redis.call('ZREM', SCHEDULES, schedule_id)
redis.call('ZREM', SCHEDULES_DUE, schedule_id)
return redis.call('DEL', schedule_key(schedule_id))
