#!lua flags=allow-oom
-- Close a session: its waiting turns and its running turn are cancelled, its record is kept for a while.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 correlation id,
--       7 body of session.state_update, 8 body of chat.status_update with @task and @message,
--       9 seconds that task records are kept, 10 seconds that the session's record is kept, 11 reason
-- Returns: {'unknown'}, {'refused', state} or {'ok', previous state}
-- Complexity: O(turns waiting²), which is bounded by the session's queue
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include tasks/cancel
local session_id, user, sees_all, correlation = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local state_body, status_template = ARGV[7], ARGV[8]
local task_seconds, session_seconds, reason = ARGV[9], ARGV[10], ARGV[11]

local session = session_key(session_id)
local state, owner, active = unpack(redis.call('HMGET', session, 'state', 'user_id', 'active_task_id'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'refused', state} end
for _, task_id in ipairs(redis.call('LRANGE', session .. ':turns', 0, -1)) do
  cancel_task(task_id, 'cancelled', status_template, task_seconds)
end
if active then cancel_task(active, 'cancelled', status_template, task_seconds) end
redis.call('HDEL', session, 'active_task_id')
touch_session(session_id)
move_session(session_id, 'TERMINATED', reason, correlation, state_body)
expire_session(session_id, session_seconds)
-- Another task of a user has moved up into the lanes.
if users_moved_up then call_idle() end
return {'ok', state}
