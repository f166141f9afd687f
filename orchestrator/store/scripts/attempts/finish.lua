#!lua flags=allow-oom
-- End a running turn: queue entry, record, history, events and session in one step.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session or '', 6 status, 7 result (JSON) or '', 8 error (JSON) or '',
--       9 new state of the session, 10 correlation id, 11 body of session.state_update, 12 seconds that records are kept,
--       13 idle ms until a session is paused, 14 messages of history kept, 15 seconds that the history is kept,
--       16 conversation id or '', 17 agent version or '', 18 answer's message id or '', 19 '1' if it goes to the dead letters,
--       20 number of history entries (JSON each), then these, then name, body of each event
-- Returns: -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0
-- Complexity: O(events + history entries + fields of the record)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/entries
--!include sessions/turns
--!include common/dead_letters
--!include common/sound
local task_id, attempt, session_id, status, result, err = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local new_state, correlation, state_body = ARGV[9], ARGV[10], ARGV[11]
local retain_seconds, pause_after_ms, history_length, history_seconds = ARGV[12], tonumber(ARGV[13]), ARGV[14], ARGV[15]
local conversation_id, agent_version, answer_id = ARGV[16], ARGV[17], ARGV[18]
local is_dead_letter, history_entries = ARGV[19] == '1', tonumber(ARGV[20])
local FIRST_HISTORY = 21
local FIRST_EVENT = FIRST_HISTORY + history_entries

-- Few ends need these includes: inside functions they cost nothing where they are not called.
local function after_this(...)
--!include tasks/queue
  return after_end(...)
end

-- Drop what only a further attempt at the turn would read: its result says all of it. Which agent has answered stays, and what
-- was handed on to services: they may still report on it.
local function drop_steps(task)
  local handed_on, going = false, {}
  for _, name in ipairs(redis.call('HKEYS', task)) do
    local noun = string.match(name, '^(%l+):')
    if noun == 'delegated' and not string.find(redis.call('HGET', task, name), '"sent":false', 1, true) then
      handed_on = true
    elseif noun and name ~= 'checkpoint:agent_version' then
      going[#going + 1] = name
    end
  end
  if #going > 0 and not handed_on then redis.call('HDEL', task, unpack(going)) end
end

-- A tenant at its bound of running tasks has waited for this end.
local function bounded_more()
  -- The task has ended: what is wrong with the configuration must not make that an error.
  if redis.pcall('HEXISTS', CONFIG, 'concurrency') ~= 1 then return 0 end
--!include tasks/depth
  return queue_length() > tasks_in_hand() and 1 or 0
end

local task, session = task_key(task_id), session_key(session_id)
local recorded_correlation, current, node, epoch, steps, created_at, recorded_status, lane, entry, turn_of_user, user,
  callback_ends, delegations = unpack(redis.call('HMGET', task, 'correlation_id', 'attempt', 'node', 'epoch', 'steps',
    'created_at', 'status', 'lane', 'entry', 'turn_of_user', 'user_id', 'callback_ends', 'delegations'))
if current ~= attempt or recorded_status ~= 'processing' then return -1 end
-- What can't be written is found before the entry goes: a task without entry would be lost.
if is_dead_letter then
  if entry then must_be('stream', lane_key(lane)) end
  dead_letter('task_id', task_id, 'error', err, 'attempts', attempt, 'at', NOW)
end
leave_lane(task_id, lane, entry, turn_of_user)
isolate(keep_bytes, #result + #err, retain_seconds)
local changes = {}
if result ~= '' then changes = {'result', result} end
if err ~= '' then
  changes[#changes + 1] = 'error'
  changes[#changes + 1] = err
end
local record = {
  correlation = recorded_correlation, attempt = attempt, node = node, epoch = epoch, steps = steps, created_at = created_at}
close(task_id, status, retain_seconds, record, unpack(changes))
redis.call('DEL', task .. ':text')
if status == 'completed' then isolate(drop_steps, task) end
local more, calls_off = 0, delegations and delegations ~= '0'
if callback_ends or calls_off or string.find(task_id, '.', 1, true) then
  more = after_this(task_id, status, callback_ends, delegations)
end
-- The task may have no session, or the session's record may have expired while the task ran: nothing more is to be written.
if redis.call('EXISTS', session) == 0 then return more == 1 and 1 or bounded_more() end
local function tell_session()
  local known = {}
  if conversation_id ~= '' then known = {'conversation_id', conversation_id} end
  if agent_version ~= '' then
    known[#known + 1] = 'agent_version'
    known[#known + 1] = agent_version
  end
  if #known > 0 then redis.call('HSET', session, unpack(known)) end
  if answer_id ~= '' then
    redis.call('HSET', message_key(answer_id), 'session_id', session_id, 'task_id', task_id, 'user_id', user)
    redis.call('EXPIRE', message_key(answer_id), history_seconds)
  end
  for i = FIRST_HISTORY, FIRST_EVENT - 1 do
    redis.call('XADD', session .. ':history', 'MAXLEN', '~', history_length, '*', 'm', ARGV[i])
  end
  if history_entries > 0 then redis.call('EXPIRE', session .. ':history', history_seconds) end
  for i = FIRST_EVENT, #ARGV, 2 do append_event(session_id, ARGV[i], ARGV[i + 1]) end
end

-- The task has ended: what is wrong with its session's record must not have it run again.
isolate(tell_session)
local is_sound, follows =
  isolate(end_turn, session_id, task_id, new_state, status, correlation, state_body, pause_after_ms)
if not is_sound or follows == 1 then more = 1 end
return more == 1 and 1 or bounded_more()
