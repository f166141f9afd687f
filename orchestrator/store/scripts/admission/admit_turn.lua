-- Admit a chat message: idempotency, session and ownership, tenant, rate limits, queue bounds, task record, queue entry,
-- session state and events: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record, 3 the tenant's rate limit, 4 the user's rate limit
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 task, 5 message id, 6 user, 7 '1' if the user sees the whole tenant,
--       8 digest of the request, 9 answer to keep for a repeated request, 10 task message (JSON), 11 lane, 12 priority,
--       13 type, 14 if_busy, 15 correlation id, 16 body of chat.status_update, 17 body of session.state_update,
--       18 turns that may wait in the session, 19 default of queue_length, 20 rate of the tenant, 21 of the user,
--       22 burst (s), 23 seconds that idempotency is kept, 24 seconds that records are kept,
--       25 body of chat.status_update for an interrupted turn, with @task and @message,
--       26 ms in which the turn must be started, or '', 27 moment (ms) at which it begins, or '',
--       28 '1' if the turn has a deduplication key (the record of which is KEYS 5)
-- Returns: {'ok', turns before this one, arrival time of the narrower limit - now (ms), task to interrupt or ''}, or
--       {'replayed', answer}, {'reused'}, {'unknown'}, {'closed', state}, {'tenant', state}, {'rate', wait ms},
--       {'full', 'session' | 'tenant'}, {'busy', active task}, {'moment'} (it is past, or more than a year ahead);
--       a turn that begins later has -1 turns before it
-- Complexity: O(1), or O(turns waiting) where a turn is interrupted
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/entries
--!include common/gcra
--!include common/config
local session_id, task_id, message_id, user = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local session, if_busy, correlation = session_key(session_id), ARGV[14], ARGV[15]
local FARTHEST = 366 * 86400 * 1000

local known = redis.call('HMGET', KEYS[2], 'digest', 'answer')
if known[1] then
  if known[1] == ARGV[8] then return {'replayed', known[2]} end
  return {'reused'}
end

-- The same task twice at once is once, whatever request brought it.
if ARGV[28] == '1' then
  local first = redis.call('HMGET', KEYS[5], 'task_id', 'answer')
  local status = first[1] and redis.call('HMGET', task_key(first[1]), 'status', 'finished_at') or {}
  if status[1] and not status[2] then return {'replayed', first[2]} end
end
local moment = tonumber(ARGV[27])
if moment and (moment <= NOW or moment > NOW + FARTHEST) then return {'moment'} end

local found = redis.call('HMGET', session, 'state', 'user_id', 'expires_at')
local state = found[1]
if not state or (found[2] ~= user and ARGV[7] ~= '1') then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
if found[3] and tonumber(found[3]) <= NOW then return {'closed', 'expired'} end

local intake = redis.call('HGET', CONFIG, 'state')
if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end

local tenant_tat, wait = gcra(KEYS[3], limit_of('rate', ARGV[20]), ARGV[22], 1)
if not tenant_tat then return {'rate', wait} end
local user_tat
user_tat, wait = gcra(KEYS[4], ARGV[21], ARGV[22], 1)
if not user_tat then return {'rate', wait} end

if redis.call('EXISTS', message_key(message_id)) == 1 then return {'reused'} end
local waiting = redis.call('LLEN', session .. ':turns')
if waiting >= tonumber(ARGV[18]) then return {'full', 'session'} end
local later = moment and redis.call('ZCARD', DELAYED) or 0
if queue_length() + later >= limit_of('queue_length', ARGV[19]) then return {'full', 'tenant'} end

local active = redis.call('HGET', session, 'active_task_id')
if active and if_busy == 'reject' then return {'busy', active} end

gcra_write(KEYS[3], tenant_tat)
gcra_write(KEYS[4], user_tat)
local task = {'task_id', task_id, 'message', ARGV[10], 'status', 'pending', 'attempt', 0, 'lane', ARGV[11],
  'priority', ARGV[12], 'type', ARGV[13], 'created_at', NOW, 'session_id', session_id, 'message_id', message_id,
  'user_id', user, 'correlation_id', correlation, 'steps', with_step(nil, 'accepted', 0, nil, ARGV[13])}
local function note(name, value)
  task[#task + 1] = name
  task[#task + 1] = value
end
if ARGV[26] ~= '' then note('expires_at', (moment or NOW) + ARGV[26]) end
if moment then note('scheduled_for', moment) end
redis.call('HSET', task_key(task_id), unpack(task))
if ARGV[28] == '1' then
  redis.call('HSET', KEYS[5], 'task_id', task_id, 'answer', ARGV[9])
  redis.call('EXPIRE', KEYS[5], ARGV[24])
end
redis.call('ZADD', INDEX, NOW, task_id)
trace_task(task_id, correlation)
redis.call('HSET', message_key(message_id), 'session_id', session_id, 'task_id', task_id, 'user_id', user)
redis.call('EXPIRE', message_key(message_id), ARGV[24])
redis.call('HSET', KEYS[2], 'digest', ARGV[8], 'answer', ARGV[9])
redis.call('EXPIRE', KEYS[2], ARGV[23])
redis.call('HINCRBY', session, 'message_count', 1)
touch_session(session_id)

if moment then
  redis.call('ZADD', DELAYED, moment, task_id)
  append_event(session_id, 'chat.status_update', ARGV[16])
  return {'ok', -1, math.ceil(math.max(tenant_tat, user_tat) - NOW), ''}
end

-- Few turns need it. Returns the task that is asked to stop, or '', and how many turns are before the new one.
local function interrupt(running)
--!include tasks/queue
--!include tasks/cancel
  local outcome = cancel_task(running, 'interrupted', ARGV[25], ARGV[24])
  if outcome == 'asked' then return running, 1 end
  next_turn(session_id)
  return '', 0
end

local interrupted, before = '', 0
if active then
  before = waiting + 1
  if if_busy == 'interrupt' then
    redis.call('LPUSH', session .. ':turns', task_id)
    interrupted, before = interrupt(active)
  else
    redis.call('RPUSH', session .. ':turns', task_id)
  end
else
  redis.call('HSET', session, 'active_task_id', task_id)
  redis.call('ZREM', TIMERS, session_id)
  enqueue(task_id)
end
local queued = string.gsub(ARGV[16], '"queue_position":null', '"queue_position":' .. before, 1)
append_event(session_id, 'chat.status_update', queued)
if state ~= 'PROCESSING' then move_session(session_id, 'PROCESSING', 'message', correlation, ARGV[17]) end
return {'ok', before, math.ceil(math.max(tenant_tat, user_tat) - NOW), interrupted}
