-- Create a session: idempotency, tenant, rate limits and the record: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record ('' in ARGV 7: none), 3 the tenant's rate limit, 4 the user's
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 owner, 5 correlation id, 6 digest of the request,
--       7 '1' if the request carries an idempotency key, 8 rate of the tenant, 9 of the user, 10 burst (s),
--       11 seconds that idempotency is kept, 12… field, value of the session's hash
-- Returns: {'ok', ms until the narrower limit is whole} or {'replayed', session}, {'reused'}, {'tenant', state}, {'rate', wait ms}
-- Complexity: O(fields)
--!include common/tenant
--!include common/gcra
--!include common/config
local session_id, owner = ARGV[3], ARGV[4]
if ARGV[7] == '1' then
  local known = redis.call('HMGET', KEYS[2], 'digest', 'answer')
  if known[1] then
    if known[1] == ARGV[6] then return {'replayed', known[2]} end
    return {'reused'}
  end
end
local intake = redis.call('HGET', CONFIG, 'state')
if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
local tenant_tat, wait = gcra(KEYS[3], limit_of('rate', ARGV[8]), ARGV[10], 1)
if not tenant_tat then return {'rate', wait} end
local user_tat
user_tat, wait = gcra(KEYS[4], ARGV[9], ARGV[10], 1)
if not user_tat then return {'rate', wait} end

gcra_write(KEYS[3], tenant_tat)
gcra_write(KEYS[4], user_tat)
local session = session_key(session_id)
redis.call('HSET', session, 'session_id', session_id, 'state', 'CREATED', 'offset', 0, 'message_count', 0,
  'created_at', NOW, 'updated_at', NOW, 'last_activity_at', NOW, unpack(ARGV, 12))
local ttl_ms = redis.call('HGET', session, 'ttl_ms')
if ttl_ms then redis.call('HSET', session, 'expires_at', NOW + ttl_ms) end
redis.call('LPUSH', session .. ':states', cjson.encode({new = 'CREATED', at = NOW, correlation_id = ARGV[5]}))
redis.call('ZADD', SESSIONS, NOW, session_id)
redis.call('ZADD', SESSIONS .. ':user:' .. owner, NOW, session_id)
if ARGV[7] == '1' then
  redis.call('HSET', KEYS[2], 'digest', ARGV[6], 'answer', session_id)
  redis.call('EXPIRE', KEYS[2], ARGV[11])
end
return {'ok', math.ceil(math.max(tenant_tat, user_tat) - NOW)}
