#!lua flags=allow-oom
-- Close a session: its waiting turns and its running turn are cancelled, its record is kept for a while.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 correlation id,
--       7 body of session.state_update, 8 body of chat.status_update with @task and @message,
--       9 seconds that task records are kept, 10 seconds that the session's record is kept, 11 reason,
--       12 '1' if it is closed only if its time is over, 13 ms since its last activity after which alone it is closed, or ''
-- Returns: {'unknown'}, {'refused', state}, {'early', state} (it is not closed yet) or {'ok', previous state}
-- Complexity: O(turns waiting²), which is bounded by the session's queue
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include common/sound
--!include tasks/queue
--!include tasks/cancel
local session_id, user, sees_all, correlation = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local state_body, status_template = ARGV[7], ARGV[8]
local task_seconds, session_seconds, reason = ARGV[9], ARGV[10], ARGV[11]
local if_over, idle_ms = ARGV[12] == '1', tonumber(ARGV[13])

local session = session_key(session_id)
local state, owner, active, expires_at, last_activity =
  unpack(redis.call('HMGET', session, 'state', 'user_id', 'active_task_id', 'expires_at', 'last_activity_at'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'refused', state} end
if if_over and not (expires_at and tonumber(expires_at) <= NOW) then
  open_session(session_id)
  return {'early', state}
end
if idle_ms then
  local due = tonumber(last_activity) + idle_ms
  if due > NOW then
    redis.call('ZADD', TIMERS, due, session_id)
    return {'early', state}
  end
end
must_be('list', session .. ':states', 'stream', session .. ':events', 'zset', SESSIONS, 'zset', SESSIONS .. ':user:' .. owner,
  'zset', TIMERS, 'zset', OPEN, 'zset', ENDED, 'hash', KEPT)
local by = (if_over or idle_ms) and 'system' or stopped_by(owner, user)
-- A turn that can't be read is told where it is claimed, and holds up no close.
for _, task_id in ipairs(redis.call('LRANGE', session .. ':turns', 0, -1)) do
  isolate(cancel_task, task_id, 'cancelled', by, status_template, task_seconds)
end
if active then isolate(cancel_task, active, 'cancelled', by, status_template, task_seconds) end
redis.call('HDEL', session, 'active_task_id')
touch_session(session_id)
move_session(session_id, 'TERMINATED', reason, correlation, state_body)
expire_session(session_id, session_seconds)
-- Another task of a user has moved up into the lanes.
if users_moved_up then call_idle() end
return {'ok', state}
