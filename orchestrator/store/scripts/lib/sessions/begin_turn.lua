-- The beginning of a turn whose moment has come. Needs tenant.lua, events.lua, sessions.lua and queue.lua.
-- It takes its place behind the session's other turns; one whose session takes nothing more is cancelled.
-- `state_body` is the body of session.state_update with @session, @task and @correlation, `status_body` that of
-- chat.status_update with @task, @message and @correlation besides.
local function begin_turn(task_id, state_body, status_body, retain_seconds)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'session_id', 'correlation_id', 'message_id')
  local session = session_key(fields[1])
  local places = {session = fields[1], task = task_id, correlation = fields[2], message = fields[3]}
  local function filled(template) return (string.gsub(template, '@(%l+)', places)) end
  local known = redis.call('HMGET', session, 'state', 'active_task_id', 'expires_at')
  local state = known[1]
  local over = known[3] and tonumber(known[3]) <= NOW
  if not state or over or state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then
    conclude(task_id, 'cancelled', retain_seconds)
    append_event(fields[1], 'chat.status_update', filled(status_body))
    return
  end
  -- One that was brought here from elsewhere may be the active one already.
  if known[2] and known[2] ~= task_id then
    redis.call('RPUSH', session .. ':turns', task_id)
  else
    redis.call('HSET', session, 'active_task_id', task_id)
    redis.call('ZREM', TIMERS, fields[1])
    enqueue(task_id)
  end
  touch_session(fields[1])
  if state ~= 'PROCESSING' then move_session(fields[1], 'PROCESSING', 'scheduled', fields[2], filled(state_body)) end
end
