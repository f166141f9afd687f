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
local session_id, correlation, state_body, pause_after_ms = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local active, state = unpack(redis.call('HMGET', session_key(session_id), 'active_task_id', 'state'))
if not state then return 0 end
local status = active and redis.pcall('HGET', task_key(active), 'status')
if status == 'pending' or status == 'processing' or status == 'retrying' or status == 'waiting' then return 0 end
local following = next_turn(session_id)
if not following and state == 'PROCESSING' then
  move_session(session_id, 'ACTIVE', 'mended', correlation, state_body)
  redis.call('ZADD', TIMERS, NOW + pause_after_ms, session_id)
end
return (following or active or state == 'PROCESSING') and 1 or 0
