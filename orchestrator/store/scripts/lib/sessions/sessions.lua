-- Moves of a session. Needs tenant.lua and events.lua. The callers have checked that the move is in the table.
--!include common/kept
--!include common/moments
--!include sessions/waiting
local STATES_KEPT = 50
-- Open sessions by the moment (ms) at which their time is over, and records of ended ones by the moment at which they go.
local OPEN, ENDED = SESSIONS .. ':open', SESSIONS .. ':ended'

local STATE_CODES = {
  CREATED = 10, ACTIVE = 20, PROCESSING = 30, ERROR = 40, PAUSED = 50, SUSPENDED = 60, TERMINATED = 70, ARCHIVED = 80, FAILED = 90}

-- Tell other programs of a transition, on the channel of the state that it leads to; `previous` is false for a new session.
local function publish_state(session_id, previous, new, reason, correlation)
  local tenant = string.gsub(TENANT, '[{}]', '')
  redis.call('PUBLISH', 'orchestrator:sessions:' .. tenant .. ':' .. string.lower(new), cjson.encode({
    event = 'session.state_update', tenant_id = tenant, session_id = session_id, previous_state = previous or cjson.null,
    previous_state_id = previous and STATE_CODES[previous] or cjson.null, new_state = new, new_state_id = STATE_CODES[new],
    changed_at = moment_of(NOW), reason = reason, correlation_id = correlation}))
end

-- `previous` is the state that it leaves, where the caller knows it.
local function move_session(session_id, new, reason, correlation, body, previous)
  local session = session_key(session_id)
  previous = previous or redis.call('HGET', session, 'state')
  redis.call('HSET', session, 'state', new, 'updated_at', NOW)
  redis.call('LPUSH', session .. ':states', cjson.encode({
    previous = previous, new = new, at = NOW, reason = reason, correlation_id = correlation}))
  redis.call('LTRIM', session .. ':states', 0, STATES_KEPT - 1)
  append_event(session_id, 'session.state_update', body)
  publish_state(session_id, previous, new, reason, correlation)
end

-- Note activity now: lists and idle timers go by it. `owner` is the session's user, where the caller knows it; further arguments
-- are pairs of field and value for its record.
local function touch_session(session_id, owner, ...)
  local session = session_key(session_id)
  redis.call('HSET', session, 'last_activity_at', NOW, 'updated_at', NOW, ...)
  redis.call('ZADD', SESSIONS, NOW, session_id)
  redis.call('ZADD', SESSIONS .. ':user:' .. (owner or redis.call('HGET', session, 'user_id')), NOW, session_id)
end

-- Count a session as open.
local function open_session(session_id)
  redis.call('ZADD', OPEN, redis.call('HGET', session_key(session_id), 'expires_at') or '+inf', session_id)
end

-- Keep the record of a session that has ended for a while; its waiting turns and its timer go at once.
local function expire_session(session_id, seconds)
  local session = session_key(session_id)
  local user, bytes = unpack(redis.call('HMGET', session, 'user_id', 'bytes'))
  redis.call('ZREM', OPEN, session_id)
  redis.call('ZADD', ENDED, NOW + seconds * 1000, session_id .. ' ' .. (user or ''))
  if bytes then
    keep_open(-bytes)
    keep_bytes(bytes, seconds)
  end
  for _, suffix in ipairs({'', ':events', ':events:packed', ':history', ':states'}) do
    redis.call('EXPIRE', session .. suffix, seconds)
  end
  if redis.call('DEL', session .. ':turns') > 0 then count_turns(session_id) end
  redis.call('ZREM', TIMERS, session_id)
end

-- Delete what is left of a session, and its places in the lists.
local function forget_session(session_id, user)
  local session = session_key(session_id)
  redis.call('ZREM', SESSIONS, session_id)
  redis.call('ZREM', SESSIONS .. ':user:' .. user, session_id)
  redis.call('ZREM', TIMERS, session_id)
  redis.call('ZREM', OPEN, session_id)
  redis.call('DEL', session, session .. ':events', session .. ':events:packed', session .. ':history', session .. ':states', session .. ':turns')
  count_turns(session_id)
end
