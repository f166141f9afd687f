-- Enqueue a task that was accepted elsewhere, or that follows from one that was: its record, and its place in the queue or
-- behind the turns of its session: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the record of the deduplication key, 3 that of an idempotency key of an entry; each of them is
--       looked at only where it is said to be there
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 session or '', 5 chat message or '', 6 user, 7 correlation id,
--       8 seconds that records are kept, 9 body of chat.status_update, 10 body of session.state_update,
--       11 default of queue_length, or '' where the tenant's quotas are not asked, 12 moment (ms) at which it is due, or '',
--       13 lane and 14 entry that stood for it without a record, or '', 15 turns that may wait in its session, or '',
--       16 task that it replays, or '', 17 the task that must have replayed that one last: '' for none, '*' for any,
--       18 ms in which it must be started, or '', 19 default of bytes, 20 session that must be the user's, or '',
--       21 '1' if it has a deduplication key, 22 seconds that its idempotency key is kept, or '' where it has none,
--       23… field, value of the record
-- Returns: {'ok', 1 if it is claimable}, {'known'}, {'unknown'} or {'closed', state} of its session, {'tenant', state},
--       {'full', 'session' | name of the quota}, {'replayed', the task that replayed it last}; where it is refused nothing has
--       changed; or {'repeated', the task that has its key}: then the entry goes, and nothing else has changed
-- Complexity: O(fields)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include sessions/messages
--!include tasks/queue
--!include common/limits
--!include tasks/depth
--!include common/sound
local task_id, session_id, message_id, user, correlation = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local retain_seconds, queued_body, state_body, queue_length_default = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local due, external_lane, external_entry, session_queue_length = ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local replay_of, last_replay, expire_ms, bytes_default, own_session = ARGV[16], ARGV[17], ARGV[18], ARGV[19], ARGV[20]
local has_deduplication_key, idempotency_seconds = ARGV[21] == '1', ARGV[22]
local deduplication, idempotency = KEYS[2], KEYS[3]
local FIRST_FIELD = 23

local session, task = session_key(session_id), task_key(task_id)
local state, active
local bytes = OVERHEAD
for i = FIRST_FIELD, #ARGV do bytes = bytes + #ARGV[i] end
local function refusal()
  local intake = redis.call('HGET', CONFIG, 'state')
  -- An entry of a lane was accepted before the drain.
  if external_entry == '' and (intake == 'draining' or intake == 'drained') then return {'tenant', intake} end
  if redis.call('EXISTS', task) == 1 then return {'known'} end
  if replay_of ~= '' and last_replay ~= '*' then
    local mark = redis.call('HGET', task_key(replay_of), 'replayed_as')
    if (mark or '') ~= last_replay then return {'replayed', mark or ''} end
  end
  -- Another user's session is as one that is not there.
  if own_session ~= '' and redis.call('HGET', session_key(own_session), 'user_id') ~= user then return {'unknown'} end
  if session_id ~= '' then
    state, active = unpack(redis.call('HMGET', session, 'state', 'active_task_id'))
    if not state then return {'unknown'} end
    if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
    local is_bounded = session_queue_length ~= ''
    if is_bounded and redis.call('LLEN', session .. ':turns') >= tonumber(session_queue_length) then
      return {'full', 'session'}
    end
  end
  if queue_length_default == '' then return end
  -- An entry stands in its lane already.
  local waiting = queue_length() - (external_entry ~= '' and 1 or 0)
  if waiting >= limit_of('queue_length', queue_length_default) then return {'full', 'queue_length'} end
  if kept_bytes() + bytes > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end
end
-- The task that has a key already: one with a deduplication key until it ends, one with an idempotency key as long as that is kept.
local function repeated_task()
  local first = idempotency_seconds ~= '' and redis.call('HGET', idempotency, 'task_id')
  if first then return first end
  first = has_deduplication_key and redis.call('HGET', deduplication, 'task_id')
  if not first then return end
  local status, finished_at = unpack(redis.call('HMGET', task_key(first), 'status', 'finished_at'))
  return status and not finished_at and first
end

local repeated = repeated_task()
local refused = not repeated and refusal()
if refused then return refused end
must_be('zset', INDEX, 'hash', KEPT, 'zset', DELAYED)
must_be_enqueueable(user)
if replay_of ~= '' then must_be('hash', task_key(replay_of)) end
if session_id ~= '' then
  must_be_log(session)
  must_be('list', session .. ':turns', 'list', session .. ':states', 'zset', SESSIONS, 'zset', TIMERS, 'hash', TURNS_WAITING,
    'zset', SESSIONS .. ':user:' .. redis.call('HGET', session, 'user_id'))
  if message_id ~= '' then must_be('hash', message_key(message_id), 'hash', user_message_key(message_id, user)) end
end

if external_entry ~= '' then
  if redis.call('XDEL', lane_key(external_lane), external_entry) == 0 then return {'known'} end
  redis.pcall('XACK', lane_key(external_lane), GROUP, external_entry)
end
if repeated then return {'repeated', repeated} end
if has_deduplication_key then
  redis.call('HSET', deduplication, 'task_id', task_id, 'answer', '')
  redis.call('EXPIRE', deduplication, retain_seconds)
end
if idempotency_seconds ~= '' then
  redis.call('HSET', idempotency, 'task_id', task_id)
  redis.call('EXPIRE', idempotency, idempotency_seconds)
end
if replay_of ~= '' and redis.call('EXISTS', task_key(replay_of)) == 1 then
  redis.call('HSET', task_key(replay_of), 'replayed_as', task_id)
end
redis.call('HSET', task, 'task_id', task_id, 'status', 'pending', 'attempt', 0, 'created_at', NOW, 'user_id', user,
  'correlation_id', correlation, unpack(ARGV, FIRST_FIELD))
if expire_ms ~= '' then redis.call('HSET', task, 'expires_at', NOW + expire_ms) end
keep_bytes(bytes, retain_seconds)
redis.call('ZADD', INDEX, redis.call('HGET', task, 'created_at'), task_id)
isolate(trace, task_id, correlation, 0, 'accepted', nil, redis.call('HGET', task, 'type'))
if session_id == '' then
  if due == '' then
    enqueue(task_id)
  else
    redis.call('ZADD', DELAYED, due, task_id)
  end
  return {'ok', 1}
end
redis.call('HSET', task, 'session_id', session_id)
if message_id ~= '' then
  redis.call('HSET', task, 'message_id', message_id)
  note_message(place_of_message(message_id, user), user, session_id, task_id, retain_seconds)
end
if due ~= '' and redis.call('HGET', task, 'status') == 'pending' then
  -- A turn for later takes its place in the session only at its moment.
  redis.call('ZADD', DELAYED, due, task_id)
  return {'ok', 0}
end
touch_session(session_id)
local claimable, before = 0, 0
if active then
  before = redis.call('RPUSH', session .. ':turns', task_id)
  count_turns(session_id)
else
  redis.call('HSET', session, 'active_task_id', task_id)
  redis.call('ZREM', TIMERS, session_id)
  if due == '' then
    enqueue(task_id)
    claimable = 1
  else
    redis.call('ZADD', DELAYED, due, task_id)
  end
end
local body = string.gsub(queued_body, '"queue_position":null', '"queue_position":' .. before, 1)
append_event(session_id, 'chat.status_update', body)
if state ~= 'PROCESSING' then move_session(session_id, 'PROCESSING', 'message', correlation, state_body) end
return {'ok', claimable}
