-- Admit a chat message: idempotency, session and ownership, tenant, rate limits, queue bounds, task record, queue entry,
-- session state and events: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record, 3 the tenant's rate limit, 4 the user's rate limit,
--       5 the record of the deduplication key, where the turn has one
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 task, 5 message id, 6 user, 7 '1' if the user sees the whole tenant,
--       8 digest of the request, or '' where no client can repeat it, 9 answer to keep for a repeated request, 10 task message (JSON), 11 lane, 12 priority,
--       13 type, 14 if_busy, 15 correlation id, 16 body of chat.status_update, 17 body of session.state_update,
--       18 turns that may wait in the session, 19 default of queue_length, 20 rate of the tenant, 21 of the user,
--       22 burst (s), 23 seconds that idempotency is kept, 24 seconds that records are kept,
--       25 body of chat.status_update for an interrupted turn, with @task and @message,
--       26 ms in which the turn must be started, or '', 27 moment (ms) at which it begins, or '',
--       28 '1' if the turn has a deduplication key, 29 default of bytes
-- Returns: {'ok', turns before this one, ms until the nearer limit is whole, task to interrupt or '', requests in its window,
--       requests left of them}, or
--       {'replayed', answer}, {'reused'}, {'unknown'}, {'closed', state}, {'tenant', state}, {'rate', wait ms, limit},
--       {'full', 'session' | name of the quota}, {'busy', active task}, {'moment'} (it is past, or more than a year ahead);
--       a turn that begins later has -1 turns before it
-- Complexity: O(1), or O(turns waiting) where a turn is interrupted
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include sessions/messages
--!include tasks/entries
--!include common/gcra
--!include common/limits
--!include tasks/depth
--!include common/sound
local request, tenant_rate_key, user_rate_key, deduplication = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local session_id, task_id, message_id, user, sees_all = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1'
local digest, answer, message, lane, priority, kind = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local if_busy, correlation, queued_body, state_body = ARGV[14], ARGV[15], ARGV[16], ARGV[17]
local session_queue_length, queue_length_default = tonumber(ARGV[18]), ARGV[19]
local tenant_rate, user_rate, burst_seconds = ARGV[20], ARGV[21], ARGV[22]
local idempotency_seconds, retain_seconds, interrupted_template = ARGV[23], ARGV[24], ARGV[25]
local expire_ms, moment, has_deduplication_key, bytes_default = ARGV[26], tonumber(ARGV[27]), ARGV[28] == '1', ARGV[29]
local FARTHEST_MS = 366 * 86400 * 1000

local known, first_answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
if known then
  if known == digest then return {'replayed', first_answer} end
  return {'reused'}
end

-- While a task with the same deduplication key has not ended, any request with it gets the answer of that task.
if has_deduplication_key then
  local first_task, deduplicated_answer = unpack(redis.call('HMGET', deduplication, 'task_id', 'answer'))
  local status, finished_at
  if first_task then status, finished_at = unpack(redis.call('HMGET', task_key(first_task), 'status', 'finished_at')) end
  if status and not finished_at then return {'replayed', deduplicated_answer} end
end
if moment and (moment <= NOW or moment > NOW + FARTHEST_MS) then return {'moment'} end

local session = session_key(session_id)
local state, owner, expires_at, log_from, active =
  unpack(redis.call('HMGET', session, 'state', 'user_id', 'expires_at', 'offset', 'active_task_id'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
if expires_at and tonumber(expires_at) <= NOW then return {'closed', 'expired'} end

local intake, own_rate, own_user_rate, own_queue_length, own_bytes, fair_users, tier =
  unpack(redis.call('HMGET', CONFIG, 'state', 'rate', 'rate_user', 'queue_length', 'bytes', 'fair_users', 'tier'))
if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end

tenant_rate, user_rate = limit_from(own_rate, tenant_rate, tier), limit_from(own_user_rate, user_rate, tier)
local tenant_kept, user_kept = unpack(redis.call('MGET', tenant_rate_key, user_rate_key))
local tenant_tat, wait = gcra_from(tenant_kept, tenant_rate_key, tenant_rate, burst_seconds, 1)
if not tenant_tat then return {'rate', wait, 'rate'} end
local user_tat
user_tat, wait = gcra_from(user_kept, user_rate_key, user_rate, burst_seconds, 1)
if not user_tat then return {'rate', wait, 'rate_user'} end
local whole_ms, window, left = nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)

local message_record, has_message = place_of_message(message_id, user)
if has_message then return {'reused'} end
local waiting = redis.call('LLEN', session .. ':turns')
if waiting >= session_queue_length then return {'full', 'session'} end
local later = moment and redis.call('ZCARD', DELAYED) or 0
if queue_length() + later >= limit_from(own_queue_length, queue_length_default, tier) then
  return {'full', 'queue_length'}
end
local bytes = OVERHEAD + #message + #answer + #queued_body
if kept_bytes() + bytes > limit_from(own_bytes, bytes_default, tier) then return {'full', 'bytes'} end

if active and if_busy == 'reject' then return {'busy', active} end

-- The record of the session was read above.
must_be('stream', session .. ':events', 'hash', task_key(task_id), 'zset', INDEX, 'zset', SESSIONS,
  'zset', SESSIONS .. ':user:' .. owner, 'zset', TIMERS)
if state ~= 'PROCESSING' then must_be('list', session .. ':states') end
if moment then
  must_be('zset', DELAYED)
elseif active then
  must_be('hash', TURNS_WAITING)
  if if_busy == 'interrupt' then must_be_stoppable(active) end
else
  -- The lanes, and whose turns are in them, were counted above.
  must_be('list', user_list(user))
end

gcra_write(tenant_rate_key, tenant_tat)
gcra_write(user_rate_key, user_tat)
local record = {'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0, 'lane', lane,
  'priority', priority, 'type', kind, 'created_at', NOW, 'session_id', session_id, 'message_id', message_id,
  'user_id', user, 'correlation_id', correlation, 'log_from', log_from or 0,
  'steps', with_step(nil, 'accepted', 0, nil, kind)}
local function note(name, value)
  record[#record + 1] = name
  record[#record + 1] = value
end
if expire_ms ~= '' then note('expires_at', (moment or NOW) + expire_ms) end
if moment then note('scheduled_for', moment) end
-- Where users share fairly, its place is found once it has a record.
local has_place = not active and not moment and fair_users ~= '1'
if has_place then note('entry', redis.call('XADD', lane_key(lane), '*', 'task_id', task_id, 'message', message)) end
redis.call('HSET', task_key(task_id), unpack(record))
keep_bytes(bytes, retain_seconds)
if has_deduplication_key then
  redis.call('HSET', deduplication, 'task_id', task_id, 'answer', answer)
  redis.call('EXPIRE', deduplication, retain_seconds)
end
redis.call('ZADD', INDEX, NOW, task_id)
isolate(trace_task, task_id, correlation)
note_message(message_record, user, session_id, task_id, retain_seconds)
if digest ~= '' then
  redis.call('HSET', request, 'digest', digest, 'answer', answer)
  redis.call('EXPIRE', request, idempotency_seconds)
end
redis.call('HINCRBY', session, 'message_count', 1)
if active or moment then
  touch_session(session_id, owner)
else
  touch_session(session_id, owner, 'active_task_id', task_id)
end

if moment then
  redis.call('ZADD', DELAYED, moment, task_id)
  append_event(session_id, 'chat.status_update', queued_body)
  return {'ok', -1, whole_ms, '', window, left}
end

-- Few turns interrupt another: the includes inside cost the other turns nothing. Returns the task that is asked to stop, or '',
-- and how many turns are before the new one.
local function interrupt(running)
--!include tasks/queue
--!include tasks/cancel
  local outcome = cancel_task(running, 'interrupted', stopped_by(owner, user), interrupted_template, retain_seconds)
  if outcome == 'asked' then return running, 1 end
  next_turn(session_id)
  return '', 0
end

local interrupted, before = '', 0
if active then
  before = waiting + 1
  if if_busy == 'interrupt' then
    redis.call('LPUSH', session .. ':turns', task_id)
    count_turns(session_id)
    interrupted, before = interrupt(active)
  else
    redis.call('RPUSH', session .. ':turns', task_id)
    count_turns(session_id)
  end
else
  redis.call('ZREM', TIMERS, session_id)
  if not has_place then enqueue(task_id) end
end
local body = string.gsub(queued_body, '"queue_position":null', '"queue_position":' .. before, 1)
append_event(session_id, 'chat.status_update', body)
if state ~= 'PROCESSING' then move_session(session_id, 'PROCESSING', 'message', correlation, state_body, state) end
return {'ok', before, whole_ms, interrupted, window, left}
