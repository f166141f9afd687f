-- The end of a session's active turn. Needs tenant.lua, events.lua, sessions.lua and entries.lua.
-- The next waiting turn becomes claimable; where none waits the session moves to `new` and its idle timer starts.
-- Returns 1 if there is new work in the queue, else 0.
local function end_turn(session_id, task_id, new, reason, correlation, body, pause_after_ms)
  local active, state, owner = unpack(redis.call('HMGET', session_key(session_id), 'active_task_id', 'state', 'user_id'))
  if active ~= task_id then return 0 end
  local following = next_turn(session_id)
  touch_session(session_id, owner)
  if following then return 1 end
  if state == 'PROCESSING' then
    move_session(session_id, new, reason, correlation, body, state)
    redis.call('ZADD', TIMERS, NOW + pause_after_ms, session_id)
  end
  return 0
end
