-- Admit a task without a turn: idempotency, deduplication, tenant, rate limits, queue bound, record, queue entry and the first
-- event of the task's own log: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record, 3 the tenant's rate limit, 4 the user's rate limit,
--       5 the record of the deduplication key
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 digest of the request, or '' where it has no idempotency key,
--       6 answer to keep for a repeated request, 7 task message (JSON), 8 lane, 9 priority, 10 type, 11 correlation id,
--       12 default of queue_length, 13 rate of the tenant, 14 of the user, or '' where no rate limits it, 15 burst (s),
--       16 seconds that idempotency is kept, 17 seconds that records are kept, 18 ms in which it must be started, or '',
--       19 moment (ms) at which it begins, or '', 20 '1' if it has a deduplication key,
--       21 epoch of its log, or '' where it has none, 22 name and 23 body of its first event, 24 default of bytes,
--       25… field, value of the record
-- Returns: {'ok', 1 if it is claimable now, ms until the nearer limit is whole, requests in its window, requests
--       left of them; 0, 0, 0 where no rate limits it}, or {'replayed', answer},
--       {'reused'}, {'moment'} (it is past, or more than a year ahead), {'tenant', state}, {'rate', wait ms, limit},
--       {'full', name of the quota}; where it is refused nothing has changed
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/gcra
--!include common/limits
--!include common/kept
--!include tasks/depth
local request, tenant_rate_key, user_rate_key, deduplication = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local task_id, user, digest, answer, message = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lane, priority, kind, correlation, queue_length_default = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local tenant_rate, user_rate, burst_seconds = ARGV[13], ARGV[14], ARGV[15]
local idempotency_seconds, retain_seconds, expire_ms = ARGV[16], ARGV[17], ARGV[18]
local moment, has_deduplication_key = tonumber(ARGV[19]), ARGV[20] == '1'
local epoch, event, body, bytes_default = ARGV[21], ARGV[22], ARGV[23], ARGV[24]
local FIRST_FIELD = 25
local FARTHEST_MS = 366 * 86400 * 1000

if digest ~= '' then
  local known, first_answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
  if known == digest then return {'replayed', first_answer} end
  if known then return {'reused'} end
end
if has_deduplication_key then
  local first_task, first_answer = unpack(redis.call('HMGET', deduplication, 'task_id', 'answer'))
  local status, finished_at
  if first_task then status, finished_at = unpack(redis.call('HMGET', task_key(first_task), 'status', 'finished_at')) end
  if status and not finished_at then return {'replayed', first_answer} end
end
if moment and (moment <= NOW or moment > NOW + FARTHEST_MS) then return {'moment'} end

local intake, own_rate, own_queue_length, fair_users, tier =
  unpack(redis.call('HMGET', CONFIG, 'state', 'rate', 'queue_length', 'fair_users', 'tier'))
if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
local tenant_tat, user_tat, wait
local whole_ms, window, left = 0, 0, 0
if tenant_rate ~= '' then
  tenant_rate, user_rate = limit_from(own_rate, tenant_rate, tier), limit_of('rate_user', user_rate)
  tenant_tat, wait = gcra(tenant_rate_key, tenant_rate, burst_seconds, 1)
  if not tenant_tat then return {'rate', wait, 'rate'} end
  user_tat, wait = gcra(user_rate_key, user_rate, burst_seconds, 1)
  if not user_tat then return {'rate', wait, 'rate_user'} end
  whole_ms, window, left = nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)
end
local later = moment and redis.call('ZCARD', DELAYED) or 0
local waiting = queue_length()
if waiting + later >= limit_from(own_queue_length, queue_length_default, tier) then
  return {'full', 'queue_length'}
end
local bytes = OVERHEAD + #message + #answer + #body
for i = FIRST_FIELD, #ARGV do bytes = bytes + #ARGV[i] end
if kept_bytes() + bytes > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end

if tenant_tat then
  gcra_write(tenant_rate_key, tenant_tat)
  gcra_write(user_rate_key, user_tat)
end
if digest ~= '' then
  redis.call('HSET', request, 'digest', digest, 'answer', answer)
  redis.call('EXPIRE', request, idempotency_seconds)
end
if has_deduplication_key then
  redis.call('HSET', deduplication, 'task_id', task_id, 'answer', answer)
  redis.call('EXPIRE', deduplication, retain_seconds)
end
local task, shares_fairly = task_key(task_id), fair_users == '1'
local record = {'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0, 'lane', lane, 'priority', priority,
  'type', kind, 'created_at', NOW, 'user_id', user, 'correlation_id', correlation,
  'steps', with_step(nil, 'accepted', 0, nil, kind), unpack(ARGV, FIRST_FIELD)}
local function note(name, value)
  record[#record + 1] = name
  record[#record + 1] = value
end
-- The log has no follower before the id is returned, so its first event needs no publishing. It lives as long as the record.
if epoch ~= '' then
  redis.call('XADD', task .. ':events', '0-1', 'e', epoch, 'n', event, 'b', body)
  note('epoch', epoch)
  note('offset', 1)
end
if expire_ms ~= '' then note('expires_at', (moment or NOW) + expire_ms) end
if moment then
  note('scheduled_for', moment)
  redis.call('ZADD', DELAYED, moment, task_id)
elseif not shares_fairly then
  -- The first task of a lane wakes idle processes at once; the tenant is marked as ready besides.
  if waiting == 0 then call_idle() end
  note('entry', redis.call('XADD', lane_key(lane), '*', 'task_id', task_id, 'message', message))
end
redis.call('HSET', task, unpack(record))
keep_bytes(bytes, retain_seconds)
redis.call('ZADD', INDEX, NOW, task_id)
trace_task(task_id, correlation)
if shares_fairly and not moment then enqueue(task_id) end
local of_session = #ARGV >= FIRST_FIELD and redis.call('HGET', task, 'of_session')
if of_session then append_event(of_session, event, body) end
return {'ok', moment and 0 or 1, whole_ms, window, left}
