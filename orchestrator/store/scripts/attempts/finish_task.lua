#!lua flags=allow-oom
-- End running tasks that are no turns: queue entry, record, and the last events, of a task's own log, if it has one, and of the
-- log of the session that its record names in `of_session`.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, then of each task: its id, attempt, status, result (JSON) or '', error (JSON) or '',
--       seconds that records are kept, '1' if it goes to the dead letters, number of events, then name, body of each event
-- Returns: for each task -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0;
--       or an error, which is of that task alone
-- Complexity: O(events)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/kept
--!include common/dead_letters
--!include common/sound
local FIRST_TASK, PARTS = 3, 8

-- Few ends need these includes: inside functions they cost nothing where they are not called.
local function after_this(...)
--!include tasks/queue
  return after_end(...)
end

-- A tenant at its bound of running tasks has waited for this end.
local function bounded_more()
--!include tasks/depth
  return queue_length() > tasks_in_hand() and 1 or 0
end

local function tell_session(session_id, name, body)
--!rare
  isolate(append_event, session_id, name, body)
end

-- Whether the tenant has a bound of running tasks. The tasks have ended: what is wrong with the configuration is no error.
local is_bounded

-- End a task; `first` and `last` are the places of its events.
local function finish(task_id, attempt, status, result, err, retain_seconds, is_dead_letter, first, last)
  local task = task_key(task_id)
  local correlation, current, node, epoch, steps, created_at, recorded_status, lane, entry, turn_of_user, offset, of_session,
    callback_ends, delegations = unpack(redis.call('HMGET', task, 'correlation_id', 'attempt', 'node', 'epoch', 'steps',
      'created_at', 'status', 'lane', 'entry', 'turn_of_user', 'offset', 'of_session', 'callback_ends', 'delegations'))
  if current ~= attempt or recorded_status ~= 'processing' then return -1 end
  -- What can't be written is found before the entry goes: a task without entry would be lost.
  if is_dead_letter then
    if entry then must_be('stream', lane_key(lane)) end
    dead_letter('task_id', task_id, 'error', err, 'attempts', attempt, 'at', NOW)
  end
  leave_lane(task_id, lane, entry, turn_of_user)
  isolate(keep_bytes, #result + #err, retain_seconds)
  offset = tonumber(offset) or 0
  for i = first, last, 2 do
    local name, body = ARGV[i], ARGV[i + 1]
    if of_session then tell_session(of_session, name, body) end
    if epoch then
      offset = offset + 1
      isolate(write_event, task, task_id, epoch, offset, name, body)
    end
  end
  local changes = {}
  local function note(name, value)
    changes[#changes + 1] = name
    changes[#changes + 1] = value
  end
  if result ~= '' then note('result', result) end
  if err ~= '' then note('error', err) end
  if epoch then note('offset', string.format('%d', offset)) end
  local record = {
    correlation = correlation, attempt = attempt, node = node, epoch = epoch, steps = steps, created_at = created_at}
  close(task_id, status, retain_seconds, record, unpack(changes))
  local calls_off = delegations and delegations ~= '0'
  if callback_ends or calls_off or string.find(task_id, '.', 1, true) then
    if after_this(task_id, status, callback_ends, delegations) == 1 then return 1 end
  end
  if is_bounded == nil then is_bounded = redis.pcall('HEXISTS', CONFIG, 'concurrency') == 1 end
  return is_bounded and bounded_more() or 0
end

local replies, at = {}, FIRST_TASK
while at < #ARGV do
  local task_id, attempt, status, result, err, retain_seconds, dead_letter_flag, events = unpack(ARGV, at, at + PARTS - 1)
  local first = at + PARTS
  at = first + 2 * tonumber(events)
  local is_read, found =
    pcall(finish, task_id, attempt, status, result, err, retain_seconds, dead_letter_flag == '1', first, at - 1)
  if not is_read and type(found) ~= 'table' then found = {err = 'ERR ' .. found} end
  replies[#replies + 1] = found
end
return replies
