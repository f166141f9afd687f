-- Create a session from an export, with an event log of its own; one that is there already stays as it is.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 seconds that the record of a closed one is kept,
--       5 default of sessions, 6 of bytes, 7… field, value of the session's hash
-- Returns: {'ok'}, {'known'}, or {'full', name of the quota}
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include common/limits
--!include sessions/sessions
local session_id, closed_seconds, sessions_default, bytes_default = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local FIRST_FIELD = 7
-- A session that stays idle is looked at after so long.
local LOOK_MS = 600000

local session = session_key(session_id)
if redis.call('EXISTS', session) == 1 then return {'known'} end
local bytes = OVERHEAD
for i = FIRST_FIELD, #ARGV do bytes = bytes + #ARGV[i] end
if redis.call('ZCARD', OPEN) >= limit_of('sessions', sessions_default) then return {'full', 'sessions'} end
if kept_bytes() + bytes > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end
redis.call('HSET', session, unpack(ARGV, FIRST_FIELD))
redis.call('HDEL', session, 'active_task_id')
redis.call('HSET', session, 'session_id', session_id, 'offset', 0, 'last_activity_at', NOW, 'updated_at', NOW)
redis.call('HSETNX', session, 'created_at', NOW)
redis.call('HSETNX', session, 'message_count', 0)
redis.call('ZADD', SESSIONS, NOW, session_id)
redis.call('ZADD', SESSIONS .. ':user:' .. redis.call('HGET', session, 'user_id'), NOW, session_id)
local state = redis.call('HGET', session, 'state')
redis.call('HSET', session, 'bytes', bytes)
keep_open(bytes)
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then
  expire_session(session_id, closed_seconds)
else
  open_session(session_id)
  redis.call('ZADD', TIMERS, NOW + LOOK_MS, session_id)
end
return {'ok'}
