#!lua flags=allow-oom
-- Cancel a task on behalf of a user.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 '1' if the user sees the whole tenant, 6 correlation id,
--       7 body of chat.status_update with @task and @message, 8 body of session.state_update for ACTIVE,
--       9 seconds that records are kept, 10 idle ms until a session is paused, 11 why, or ''
-- Returns: {'unknown'}, or {'done' | 'asked' | 'ended', 1 if another turn, or item of a batch, became claimable}
-- Complexity: O(turns waiting in the session)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include tasks/cancel
--!include sessions/turns
--!include common/sound
local task_id, user, sees_all, correlation = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local status_body, state_body, retain_seconds, pause_after_ms = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10])
local why = ARGV[11]

local status, owner, session_id = unpack(redis.call('HMGET', task_key(task_id), 'status', 'user_id', 'session_id'))
if not status or (owner ~= user and not sees_all) then return {'unknown'} end
if session_id and status ~= 'processing' then
  local session = session_key(session_id)
  must_be_log(session)
  for _, lane in ipairs(LANES) do must_be('stream', lane_key(lane)) end
  must_be('list', session .. ':turns', 'list', session .. ':states', 'zset', SESSIONS, 'zset', SESSIONS .. ':user:' .. owner,
    'zset', TIMERS, 'zset', DELAYED, 'hash', TURNS_WAITING)
end
local outcome, more = cancel_task(task_id, 'cancelled', stopped_by(owner, user), status_body, retain_seconds)
if why ~= '' and outcome ~= 'ended' then redis.call('HSET', task_key(task_id), 'cancel_reason', why) end
if outcome == 'done' and session_id then
  more = math.max(more, end_turn(session_id, task_id, 'ACTIVE', 'cancelled', correlation, state_body, pause_after_ms))
end
if users_moved_up then more = 1 end
return {outcome, more}
