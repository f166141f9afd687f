-- End a running task: queue entry, record, history, events and session in one step.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session or '', 6 status, 7 result (JSON) or '', 8 error (JSON) or '',
--       9 new state of the session, 10 correlation id, 11 body of session.state_update, 12 seconds that records are kept,
--       13 idle ms until a session is paused, 14 messages of history kept, 15 seconds that the history is kept,
--       16 conversation id or '', 17 agent version or '', 18 answer's message id or '', 19 '1' if it goes to the dead letters,
--       20 number of history entries (JSON each), then these, then name, body of each event
-- Returns: -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0
-- Complexity: O(events + history entries)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/entries
--!include sessions/turns

-- What few ends need is made where it is needed.
local function after_this(...)
--!include tasks/queue
  return after_end(...)
end

-- A tenant at its bound of tasks in hand waits for this very moment.
local function bounded_more()
  if redis.call('HEXISTS', CONFIG, 'concurrency') == 0 then return 0 end
--!include common/config
  return queue_length() > tasks_in_hand() and 1 or 0
end

local task_id, session_id, status, err = ARGV[3], ARGV[5], ARGV[6], ARGV[8]
local task, session = task_key(task_id), session_key(session_id)
local known = redis.call('HMGET', task, 'correlation_id', 'attempt', 'node', 'epoch', 'steps', 'created_at', 'status', 'lane',
  'entry', 'turn_of_user', 'user_id', 'callback_ends', 'delegations')
if known[2] ~= ARGV[4] or known[7] ~= 'processing' then return -1 end
leave_lane(task_id, known[8], known[9], known[10])
if ARGV[19] == '1' then
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', task_id, 'error', err, 'attempts', ARGV[4], 'at', NOW)
end
local changes = {}
if ARGV[7] ~= '' then changes = {'result', ARGV[7]} end
if err ~= '' then
  changes[#changes + 1] = 'error'
  changes[#changes + 1] = err
end
close(task_id, status, ARGV[12], known, unpack(changes))
local more, calls_off = 0, known[13] and known[13] ~= '0'
if known[12] or calls_off or string.find(task_id, '.', 1, true) then
  more = after_this(task_id, status, known[12], known[13])
end
-- A task may have no session; and the session's record may have gone while it ran: then there is nothing more to tell.
if redis.call('EXISTS', session) == 0 then return more == 1 and 1 or bounded_more() end
if ARGV[16] ~= '' then redis.call('HSET', session, 'conversation_id', ARGV[16]) end
if ARGV[17] ~= '' then redis.call('HSET', session, 'agent_version', ARGV[17]) end
if ARGV[18] ~= '' then
  redis.call('HSET', message_key(ARGV[18]), 'session_id', session_id, 'task_id', task_id,
    'user_id', known[11])
  redis.call('EXPIRE', message_key(ARGV[18]), ARGV[15])
end
local first_event = 21 + tonumber(ARGV[20])
for i = 21, first_event - 1 do
  redis.call('XADD', session .. ':history', 'MAXLEN', '~', ARGV[14], '*', 'm', ARGV[i])
end
if first_event > 21 then redis.call('EXPIRE', session .. ':history', ARGV[15]) end
for i = first_event, #ARGV, 2 do append_event(session_id, ARGV[i], ARGV[i + 1]) end
more = math.max(more, end_turn(session_id, task_id, ARGV[9], status, ARGV[10], ARGV[11], tonumber(ARGV[13])))
return more == 1 and 1 or bounded_more()
