-- Change fields of an open session.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 default of bytes,
--       7 states of which it must be in one, by commas, or '', 8 ms that it lives from now on, or '', 9… field, value
-- Returns: {'unknown'}, {'closed', state}, {'refused', state}, {'full', name of the quota} or {'ok'}
-- Complexity: O(fields)
--!include common/tenant
--!include common/limits
--!include common/kept
local session_id, user, sees_all, bytes_default = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local states, life_ms = ARGV[7], ARGV[8]
local FIRST_FIELD = 9

local session = session_key(session_id)
local state, owner = unpack(redis.call('HMGET', session, 'state', 'user_id'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
if states ~= '' and not string.find(',' .. states .. ',', ',' .. state .. ',', 1, true) then return {'refused', state} end
local more = 0
for i = FIRST_FIELD, #ARGV, 2 do more = more + #ARGV[i + 1] - redis.call('HSTRLEN', session, ARGV[i]) end
if more > 0 and kept_bytes() + more > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end
redis.call('HINCRBY', session, 'bytes', more)
keep_open(more)
redis.call('HSET', session, 'updated_at', NOW, unpack(ARGV, FIRST_FIELD))
if life_ms ~= '' then
  local ends = string.format('%d', NOW + life_ms)
  redis.call('HSET', session, 'ttl_ms', life_ms, 'expires_at', ends)
  redis.call('ZADD', SESSIONS .. ':open', ends, session_id)
end
return {'ok'}
