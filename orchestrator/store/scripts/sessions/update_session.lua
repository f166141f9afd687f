-- Change fields of an open session.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6… field, value
-- Returns: {'unknown'}, {'closed', state} or {'ok'}
-- Complexity: O(fields)
--!include common/tenant
local session_id, user, sees_all = ARGV[3], ARGV[4], ARGV[5] == '1'
local FIRST_FIELD = 6

local session = session_key(session_id)
local state, owner = unpack(redis.call('HMGET', session, 'state', 'user_id'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
redis.call('HSET', session, 'updated_at', NOW, unpack(ARGV, FIRST_FIELD))
return {'ok'}
