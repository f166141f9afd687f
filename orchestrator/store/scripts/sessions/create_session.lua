-- Create a session: idempotency, tenant, rate limits and the record: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record, where the request has a key, 3 the tenant's rate limit, 4 the user's
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 owner, 5 correlation id, 6 digest of the request,
--       7 '1' if the request carries an idempotency key, 8 rate of the tenant, 9 of the user, 10 burst (s),
--       11 seconds that idempotency is kept, 12 default of sessions, 13 of bytes, 14 ms until a session that is not used is
--       closed, 15… field, value of the session's hash
-- Returns: {'ok', ms until the nearer limit is whole, requests in its window, requests left of them} or {'replayed', session}, {'reused'}, {'tenant', state},
--          {'rate', wait ms, limit}, {'full', name of the quota}
-- Complexity: O(fields)
--!include common/tenant
--!include common/gcra
--!include common/limits
--!include common/events
--!include sessions/sessions
--!include common/sound
--!include common/moments
local request, tenant_rate_key, user_rate_key = KEYS[2], KEYS[3], KEYS[4]
local session_id, owner, correlation, digest, has_key = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1'
local tenant_rate, user_rate, burst_seconds, idempotency_seconds = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local sessions_default, bytes_default, unused_ms = ARGV[12], ARGV[13], tonumber(ARGV[14])
local FIRST_FIELD = 15

if has_key then
  local known, answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
  if known then
    if known == digest then return {'replayed', answer} end
    return {'reused'}
  end
end
local intake = redis.call('HGET', CONFIG, 'state')
if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
tenant_rate, user_rate = limit_of('rate', tenant_rate), limit_of('rate_user', user_rate)
local tenant_tat, wait = gcra(tenant_rate_key, tenant_rate, burst_seconds, 1)
if not tenant_tat then return {'rate', wait, 'rate'} end
local user_tat
user_tat, wait = gcra(user_rate_key, user_rate, burst_seconds, 1)
if not user_tat then return {'rate', wait, 'rate_user'} end
if redis.call('ZCARD', OPEN) >= limit_of('sessions', sessions_default) then return {'full', 'sessions'} end
local bytes = OVERHEAD
for i = FIRST_FIELD, #ARGV do bytes = bytes + #ARGV[i] end
if kept_bytes() + bytes > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end

local session = session_key(session_id)
must_be('hash', session, 'list', session .. ':states', 'zset', SESSIONS, 'zset', SESSIONS .. ':user:' .. owner, 'zset', TIMERS)

gcra_write(tenant_rate_key, tenant_tat)
gcra_write(user_rate_key, user_tat)
redis.call('HSET', session, 'session_id', session_id, 'state', 'CREATED', 'offset', 0, 'message_count', 0,
  'created_at', NOW, 'updated_at', NOW, 'last_activity_at', NOW, 'bytes', bytes, unpack(ARGV, FIRST_FIELD))
local ttl_ms = redis.call('HGET', session, 'ttl_ms')
if ttl_ms then redis.call('HSET', session, 'expires_at', NOW + ttl_ms) end
redis.call('LPUSH', session .. ':states', cjson.encode({new = 'CREATED', at = NOW, correlation_id = correlation}))
redis.call('ZADD', SESSIONS, NOW, session_id)
redis.call('ZADD', SESSIONS .. ':user:' .. owner, NOW, session_id)
redis.call('ZADD', TIMERS, NOW + unused_ms, session_id)
publish_state(session_id, false, 'CREATED', 'created', correlation)
open_session(session_id)
keep_open(bytes)
-- Sessions of older versions left the user's list with no word: up to two leave it with each one that comes.
for _, old in ipairs(redis.call('ZRANGE', SESSIONS .. ':user:' .. owner, 0, 1)) do
  if redis.call('EXISTS', session_key(old)) == 0 then redis.call('ZREM', SESSIONS .. ':user:' .. owner, old) end
end
if has_key then
  redis.call('HSET', request, 'digest', digest, 'answer', session_id)
  redis.call('EXPIRE', request, idempotency_seconds)
end
tell_feed('session.created', function()
  local agent, user = unpack(redis.call('HMGET', session, 'agent_id', 'user_id'))
  local data = {session_id = session_id, state = 'CREATED', agent_id = agent, user_id = user}
  return cjson.encode({kind = 'session', id = session_id, at = moment_of(NOW), user_id = user, data = data})
end)
return {'ok', nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)}
