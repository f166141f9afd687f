#!lua flags=allow-oom
-- Move a session to another state, if it is in one from which the move may begin (compare and set).
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 new state,
--       7 states that lead to it, separated by commas, 8 reason, 9 correlation id, 10 body of session.state_update,
--       11 ms from the last activity to the next idle move, or '', 12 '1' if the move is due to idleness,
--       13 '1' if the user acted, 14 seconds that the record of a closed session is kept
-- Returns: {'unknown'}, {'refused', state} or {'ok', previous state}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include common/sound
local session_id, user, sees_all, new, sources = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6], ARGV[7]
local reason, correlation, body = ARGV[8], ARGV[9], ARGV[10]
local idle_ms, is_idle_move, is_activity, closed_seconds = ARGV[11], ARGV[12] == '1', ARGV[13] == '1', ARGV[14]

local session = session_key(session_id)
local state, owner = unpack(redis.call('HMGET', session, 'state', 'user_id'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if not string.find(',' .. sources .. ',', ',' .. state .. ',', 1, true) then return {'refused', state} end
if is_idle_move then
  -- The timer may have been moved since it was read: then the session is not idle.
  local due = redis.call('ZSCORE', TIMERS, session_id)
  if not due or tonumber(due) > NOW then return {'refused', state} end
end
must_be('list', session .. ':states', 'stream', session .. ':events', 'zset', TIMERS)
if is_activity then must_be('zset', SESSIONS, 'zset', SESSIONS .. ':user:' .. owner) end
if new == 'ARCHIVED' or new == 'FAILED' then must_be('zset', OPEN, 'zset', ENDED, 'hash', KEPT) end
move_session(session_id, new, reason, correlation, body)
if is_activity then touch_session(session_id) end
if new == 'ARCHIVED' or new == 'FAILED' then
  expire_session(session_id, closed_seconds)
elseif idle_ms == '' then
  redis.call('ZREM', TIMERS, session_id)
else
  redis.call('ZADD', TIMERS, redis.call('HGET', session, 'last_activity_at') + idle_ms, session_id)
end
return {'ok', state}
