-- Admit tasks without a turn, each for itself: idempotency, deduplication, tenant, rate limits, queue bound, record, queue entry
-- and the first event of the task's own log: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the tenant's rate limit, then of each task: the idempotency record, the user's rate limit,
--       the record of the deduplication key
-- ARGV: 1 tenant, 2 events kept, 3 default of queue_length, 4 default of bytes, 5 seconds that idempotency is kept,
--       then of each task: its id, user, digest of the request, or '' where it has no idempotency key, answer to keep for a
--       repeated request, task message (JSON), lane, priority, type, correlation id, rate of the tenant, of the user, or ''
--       where no rate limits it, burst (s), seconds that records are kept, ms in which it must be started, or '', moment (ms)
--       at which it begins, or '', '1' if it has a deduplication key, epoch of its log, or '' where it has none, name and body
--       of its first event, number of further parts of its record, then these: field, value…
-- Returns: for each task {'ok', 1 if it is claimable now, ms until the nearer limit is whole, requests in its window, requests
--       left of them; 0, 0, 0 where no rate limits it}, or {'replayed', answer},
--       {'reused'}, {'moment'} (it is past, or more than a year ahead), {'tenant', state}, {'rate', wait ms, limit},
--       {'full', name of the quota}, or an error; where it is refused nothing has changed
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/gcra
--!include common/limits
--!include common/kept
--!include tasks/depth
--!include common/sound
local tenant_rate_key = KEYS[2]
local queue_length_default, bytes_default, idempotency_seconds = ARGV[3], ARGV[4], ARGV[5]
local FIRST_KEY, KEYS_EACH, FIRST_TASK, PARTS = 3, 3, 6, 20
local FARTHEST_MS = 366 * 86400 * 1000

-- Few tasks need what is called here.
local function must_be_writable(task)
--!rare
  must_be_log(task)
end

local function share_turns(task_id)
--!rare
  enqueue(task_id)
end

-- What is wrong with its session is no fault of the task.
local function tell_session(session_id, event, body)
--!rare
  isolate(append_event, session_id, event, body)
end

local function repeated(deduplication)
  local first_task, first_answer = unpack(redis.call('HMGET', deduplication, 'task_id', 'answer'))
  if not first_task then return nil end
  local status, finished_at = unpack(redis.call('HMGET', task_key(first_task), 'status', 'finished_at'))
  return status and not finished_at and first_answer
end

-- What the tasks have in common is read with the first one, and what they have changed of it is written behind the last one:
-- arrival times by the keys of limits, tasks that wait, bytes that are kept, and how many of them for how long.
local intake, own_rate, own_user_rate, own_queue_length, own_bytes, fair_users, tier, waiting, kept
local arrivals, moved, more_kept, indexed = {}, {}, {}, {}

local function read_tenant()
  intake, own_rate, own_user_rate, own_queue_length, own_bytes, fair_users, tier =
    unpack(redis.call('HMGET', CONFIG, 'state', 'rate', 'rate_user', 'queue_length', 'bytes', 'fair_users', 'tier'))
  must_be('zset', INDEX)
  kept, waiting = kept_bytes(), queue_length()
end

local function write_tenant()
  for key, tat in pairs(moved) do gcra_write(key, tat) end
  for seconds, bytes in pairs(more_kept) do keep_bytes(bytes, seconds) end
  if #indexed > 0 then redis.call('ZADD', INDEX, unpack(indexed)) end
end

-- Admit a task; the places of its keys, of its parts and of what further ones its record has.
local function admit(first_key, at, first_field, last_field)
  local request, user_rate_key, deduplication = unpack(KEYS, first_key, first_key + KEYS_EACH - 1)
  local task_id, user, digest, answer, message, lane, priority, kind, correlation, tenant_rate, user_rate, burst_seconds,
    retain_seconds, expire_ms, moment, deduplication_flag, epoch, event, body = unpack(ARGV, at, at + PARTS - 2)
  local has_deduplication_key = deduplication_flag == '1'
  moment = tonumber(moment)

  if digest ~= '' then
    local known, first_answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
    if known == digest then return {'replayed', first_answer} end
    if known then return {'reused'} end
  end
  local first_answer = has_deduplication_key and repeated(deduplication)
  if first_answer then return {'replayed', first_answer} end
  if moment and (moment <= NOW or moment > NOW + FARTHEST_MS) then return {'moment'} end

  if not waiting then read_tenant() end
  if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
  local tenant_tat, user_tat, wait
  local whole_ms, window, left = 0, 0, 0
  if tenant_rate ~= '' then
    tenant_rate, user_rate = limit_from(own_rate, tenant_rate, tier), limit_from(own_user_rate, user_rate, tier)
    if arrivals[user_rate_key] == nil then
      local tenant_kept, user_kept = unpack(redis.call('MGET', tenant_rate_key, user_rate_key))
      if arrivals[tenant_rate_key] == nil then arrivals[tenant_rate_key] = tenant_kept end
      arrivals[user_rate_key] = user_kept
    end
    tenant_tat, wait = gcra_from(arrivals[tenant_rate_key], tenant_rate_key, tenant_rate, burst_seconds, 1)
    if not tenant_tat then return {'rate', wait, 'rate'} end
    user_tat, wait = gcra_from(arrivals[user_rate_key], user_rate_key, user_rate, burst_seconds, 1)
    if not user_tat then return {'rate', wait, 'rate_user'} end
    whole_ms, window, left = nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)
  end
  local later = moment and redis.call('ZCARD', DELAYED) or 0
  if waiting + later >= limit_from(own_queue_length, queue_length_default, tier) then
    return {'full', 'queue_length'}
  end
  local bytes = OVERHEAD + #message + #answer + #body
  for i = first_field, last_field do bytes = bytes + #ARGV[i] end
  if kept + bytes > limit_from(own_bytes, bytes_default, tier) then return {'full', 'bytes'} end

  local task, shares_fairly = task_key(task_id), fair_users == '1'
  if redis.call('EXISTS', task, task .. ':events') > 0 then must_be_writable(task) end
  -- The lanes, the delayed tasks and the turns of users were counted above.
  if shares_fairly then must_be('list', user_list(user)) end

  if digest ~= '' then
    redis.call('HSET', request, 'digest', digest, 'answer', answer)
    redis.call('EXPIRE', request, idempotency_seconds)
  end
  if has_deduplication_key then
    redis.call('HSET', deduplication, 'task_id', task_id, 'answer', answer)
    redis.call('EXPIRE', deduplication, retain_seconds)
  end
  local record = {'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0, 'lane', lane,
    'priority', priority, 'type', kind, 'created_at', NOW, 'user_id', user, 'correlation_id', correlation,
    'steps', with_step(nil, 'accepted', 0, nil, kind), unpack(ARGV, first_field, last_field)}
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
  isolate(trace_task, task_id, correlation)
  if shares_fairly and not moment then share_turns(task_id) end
  local of_session = last_field >= first_field and redis.call('HGET', task, 'of_session')
  if of_session then tell_session(of_session, event, body) end

  if tenant_tat then
    arrivals[tenant_rate_key], arrivals[user_rate_key] = tenant_tat, user_tat
    moved[tenant_rate_key], moved[user_rate_key] = tenant_tat, user_tat
  end
  if not moment then waiting = waiting + 1 end
  kept = kept + bytes
  more_kept[retain_seconds] = (more_kept[retain_seconds] or 0) + bytes
  indexed[#indexed + 1] = NOW
  indexed[#indexed + 1] = task_id
  return {'ok', moment and 0 or 1, whole_ms, window, left}
end

local replies, key, at = {}, FIRST_KEY, FIRST_TASK
while at <= #ARGV do
  local first_field = at + PARTS
  local last_field = first_field + tonumber(ARGV[first_field - 1]) - 1
  local is_read, found = pcall(admit, key, at, first_field, last_field)
  if not is_read and type(found) ~= 'table' then found = {err = 'ERR ' .. found} end
  replies[#replies + 1] = found
  key, at = key + KEYS_EACH, last_field + 1
end
write_tenant()
return replies
