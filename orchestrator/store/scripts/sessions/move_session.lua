-- Move a session to another state, if it stands where the move may begin (compare and set).
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 new state,
--       7 states that lead to it, separated by commas, 8 reason, 9 correlation id, 10 body of session.state_update,
--       11 ms from the last activity to the next idle move, or '', 12 '1' if the move is due to idleness, 13 '1' if the person acted
-- Returns: {'unknown'}, {'refused', state} or {'ok', previous state}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include sessions/sessions
local session_id, new = ARGV[3], ARGV[6]
local session = session_key(session_id)
local found = redis.call('HMGET', session, 'state', 'user_id', 'last_activity_at')
local state = found[1]
if not state or (found[2] ~= ARGV[4] and ARGV[5] ~= '1') then return {'unknown'} end
if not string.find(',' .. ARGV[7] .. ',', ',' .. state .. ',', 1, true) then return {'refused', state} end
if ARGV[12] == '1' then
  -- The timer may have been moved since it was read: then the session is not idle.
  local due = redis.call('ZSCORE', TIMERS, session_id)
  if not due or tonumber(due) > NOW then return {'refused', state} end
end
move_session(session_id, new, ARGV[8], ARGV[9], ARGV[10])
if ARGV[13] == '1' then touch_session(session_id) end
if ARGV[11] == '' then
  redis.call('ZREM', TIMERS, session_id)
else
  redis.call('ZADD', TIMERS, redis.call('HGET', session, 'last_activity_at') + ARGV[11], session_id)
end
return {'ok', state}
