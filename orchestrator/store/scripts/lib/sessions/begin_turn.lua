-- The beginning of a turn whose moment has come. Needs tenant.lua, events.lua, sessions.lua and queue.lua.
-- The turn queues behind the session's other turns; it is cancelled where the session takes nothing more.
-- `state_body` is the body of session.state_update with @session, @task and @correlation, `status_body` that of
-- chat.status_update with @message as well.
local function begin_turn(task_id, state_body, status_body, retain_seconds)
  local session_id, correlation, message_id =
    unpack(redis.call('HMGET', task_key(task_id), 'session_id', 'correlation_id', 'message_id'))
  local session = session_key(session_id)
  local places = {session = session_id, task = task_id, correlation = correlation, message = message_id}
  local function filled(template) return (string.gsub(template, '@(%l+)', places)) end
  local state, active, expires_at = unpack(redis.call('HMGET', session, 'state', 'active_task_id', 'expires_at'))
  local expired = expires_at and tonumber(expires_at) <= NOW
  if not state or expired or state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then
    conclude(task_id, 'cancelled', retain_seconds, 'cancelled_by', 'system')
    append_event(session_id, 'chat.status_update', filled(status_body))
    return
  end
  -- An imported turn may be the active one already.
  if active and active ~= task_id then
    redis.call('RPUSH', session .. ':turns', task_id)
    count_turns(session_id)
  else
    redis.call('HSET', session, 'active_task_id', task_id)
    redis.call('ZREM', TIMERS, session_id)
    enqueue(task_id)
  end
  touch_session(session_id)
  if state ~= 'PROCESSING' then move_session(session_id, 'PROCESSING', 'scheduled', correlation, filled(state_body)) end
end
