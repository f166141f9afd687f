-- Let a session go on whose active task has ended or is gone.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 correlation id, 5 body of session.state_update for ACTIVE,
--       6 idle ms until a session is paused
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
local session = session_key(ARGV[3])
local fields = redis.call('HMGET', session, 'active_task_id', 'state')
if not fields[2] then return 0 end
local status = fields[1] and redis.call('HGET', task_key(fields[1]), 'status')
if status == 'pending' or status == 'processing' or status == 'retrying' or status == 'waiting' then return 0 end
local following = next_turn(ARGV[3])
if not following and fields[2] == 'PROCESSING' then
  move_session(ARGV[3], 'ACTIVE', 'mended', ARGV[4], ARGV[5])
  redis.call('ZADD', TIMERS, NOW + ARGV[6], ARGV[3])
end
return (following or fields[1] or fields[2] == 'PROCESSING') and 1 or 0
