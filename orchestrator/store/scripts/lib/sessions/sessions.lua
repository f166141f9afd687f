-- Moves of a session. Needs tenant.lua and events.lua. The callers have checked that the move is in the table.
local STATES_KEPT = 50

local function move_session(session_id, new, reason, correlation, body)
  local session = session_key(session_id)
  local previous = redis.call('HGET', session, 'state')
  redis.call('HSET', session, 'state', new, 'updated_at', NOW)
  redis.call('LPUSH', session .. ':states', cjson.encode({
    previous = previous, new = new, at = NOW, reason = reason, correlation_id = correlation}))
  redis.call('LTRIM', session .. ':states', 0, STATES_KEPT - 1)
  append_event(session_id, 'session.state_update', body)
end

-- Note activity now: lists and idle timers go by it.
local function touch_session(session_id)
  local session = session_key(session_id)
  redis.call('HSET', session, 'last_activity_at', NOW, 'updated_at', NOW)
  redis.call('ZADD', SESSIONS, NOW, session_id)
  redis.call('ZADD', SESSIONS .. ':user:' .. redis.call('HGET', session, 'user_id'), NOW, session_id)
end

-- Keep the record of a session that has ended for a while; its waiting turns and its timer go at once.
local function expire_session(session_id, seconds)
  local session = session_key(session_id)
  for _, suffix in ipairs({'', ':events', ':history', ':states'}) do
    redis.call('EXPIRE', session .. suffix, seconds)
  end
  redis.call('DEL', session .. ':turns')
  redis.call('ZREM', TIMERS, session_id)
end
