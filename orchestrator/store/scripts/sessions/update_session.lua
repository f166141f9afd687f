-- Change fields of an open session.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6… field, value
-- Returns: {'unknown'}, {'closed', state} or {'ok'}
-- Complexity: O(fields)
--!include common/tenant
local session = session_key(ARGV[3])
local found = redis.call('HMGET', session, 'state', 'user_id')
local state = found[1]
if not state or (found[2] ~= ARGV[4] and ARGV[5] ~= '1') then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
redis.call('HSET', session, 'updated_at', NOW, unpack(ARGV, 6))
return {'ok'}
