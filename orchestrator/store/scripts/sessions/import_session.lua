-- Create a session from an export, with an event log of its own; one that is there already stays as it is.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4… field, value of the session's hash
-- Returns: 1, or 0 if it was there
-- Complexity: O(fields)
--!include common/tenant
local session_id = ARGV[3]
local FIRST_FIELD = 4

local session = session_key(session_id)
if redis.call('EXISTS', session) == 1 then return 0 end
redis.call('HSET', session, unpack(ARGV, FIRST_FIELD))
redis.call('HDEL', session, 'active_task_id')
redis.call('HSET', session, 'session_id', session_id, 'offset', 0, 'last_activity_at', NOW, 'updated_at', NOW)
redis.call('HSETNX', session, 'created_at', NOW)
redis.call('HSETNX', session, 'message_count', 0)
redis.call('ZADD', SESSIONS, NOW, session_id)
redis.call('ZADD', SESSIONS .. ':user:' .. redis.call('HGET', session, 'user_id'), NOW, session_id)
return 1
