-- Admit a task without a turn: idempotency, deduplication, tenant, rate limits, queue bound, record, queue entry and the first
-- event of the task's own log: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record, 3 the tenant's rate limit, 4 the user's rate limit,
--       5 the record of the deduplication key
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 digest of the request, or '' where nothing makes it the same as another,
--       6 answer to keep for a repeated request, 7 task message (JSON), 8 lane, 9 priority, 10 type, 11 correlation id,
--       12 default of queue_length, 13 rate of the tenant, 14 of the user, or '' where no rate limits it, 15 burst (s),
--       16 seconds that idempotency is kept, 17 seconds that records are kept, 18 ms in which it must be started, or '',
--       19 moment (ms) at which it begins, or '', 20 '1' if it has a deduplication key, 21 epoch of its log, or '' where it has none,
--       22 name and 23 body of its first event, 24… field, value of the record
-- Returns: {'ok', 1 if it is claimable now, arrival time of the narrower limit - now (ms)}, or {'replayed', answer},
--       {'reused'}, {'moment'} (it is past, or more than a year ahead), {'tenant', state}, {'rate', wait ms}, {'full', 'tenant'};
--       where it is refused nothing has changed
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/gcra
--!include common/config
local task_id, user, answer, correlation = ARGV[3], ARGV[4], ARGV[6], ARGV[11]
local FARTHEST = 366 * 86400 * 1000
local task = task_key(task_id)

if ARGV[5] ~= '' then
  local known = redis.call('HMGET', KEYS[2], 'digest', 'answer')
  if known[1] == ARGV[5] then return {'replayed', known[2]} end
  if known[1] then return {'reused'} end
end
if ARGV[20] == '1' then
  local first = redis.call('HMGET', KEYS[5], 'task_id', 'answer')
  local status = first[1] and redis.call('HMGET', task_key(first[1]), 'status', 'finished_at') or {}
  if status[1] and not status[2] then return {'replayed', first[2]} end
end
local moment = tonumber(ARGV[19])
if moment and (moment <= NOW or moment > NOW + FARTHEST) then return {'moment'} end

local config = redis.call('HMGET', CONFIG, 'state', 'rate', 'queue_length', 'fair_users', 'tier')
if config[1] == 'draining' or config[1] == 'drained' then return {'tenant', config[1]} end
local tenant_tat, user_tat, wait
if ARGV[13] ~= '' then
  tenant_tat, wait = gcra(KEYS[3], limit_from(config[2], ARGV[13]), ARGV[15], 1)
  if not tenant_tat then return {'rate', wait} end
  user_tat, wait = gcra(KEYS[4], ARGV[14], ARGV[15], 1)
  if not user_tat then return {'rate', wait} end
end
local later = moment and redis.call('ZCARD', DELAYED) or 0
local waiting = queue_length()
if waiting + later >= limit_from(config[3], ARGV[12], config[5]) then return {'full', 'tenant'} end

if tenant_tat then
  gcra_write(KEYS[3], tenant_tat)
  gcra_write(KEYS[4], user_tat)
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[2], 'digest', ARGV[5], 'answer', answer)
  redis.call('EXPIRE', KEYS[2], ARGV[16])
end
if ARGV[20] == '1' then
  redis.call('HSET', KEYS[5], 'task_id', task_id, 'answer', answer)
  redis.call('EXPIRE', KEYS[5], ARGV[17])
end
local shares, own_log = config[4] == '1', ARGV[21] ~= ''
local known = {'task_id', task_id, 'message', ARGV[7], 'status', 'pending', 'attempt', 0, 'lane', ARGV[8], 'priority', ARGV[9],
  'type', ARGV[10], 'created_at', NOW, 'user_id', user, 'correlation_id', correlation,
  'steps', with_step(nil, 'accepted', 0, nil, ARGV[10]), unpack(ARGV, 24)}
local function note(name, value)
  known[#known + 1] = name
  known[#known + 1] = value
end
-- Nobody can follow the log before the id is told, so its first event needs no publishing. It lives as long as the record.
if own_log then
  redis.call('XADD', task .. ':events', '0-1', 'e', ARGV[21], 'n', ARGV[22], 'b', ARGV[23])
  note('epoch', ARGV[21])
  note('offset', 1)
end
if ARGV[18] ~= '' then note('expires_at', (moment or NOW) + ARGV[18]) end
if moment then
  note('scheduled_for', moment)
  redis.call('ZADD', DELAYED, moment, task_id)
elseif not shares then
  -- Who has nothing to do hears of the first task at once; that the tenant has work is marked for all besides.
  if waiting == 0 then call_idle() end
  note('entry', redis.call('XADD', lane_key(ARGV[8]), '*', 'task_id', task_id, 'message', ARGV[7]))
end
redis.call('HSET', task, unpack(known))
redis.call('ZADD', INDEX, NOW, task_id)
trace_task(task_id, correlation)
if shares and not moment then enqueue(task_id) end
local told = #ARGV > 23 and redis.call('HGET', task, 'of_session')
if told then append_event(told, ARGV[22], ARGV[23]) end
return {'ok', moment and 0 or 1, tenant_tat and math.ceil(math.max(tenant_tat, user_tat) - NOW) or 0}
