#!lua flags=allow-oom
-- End a running task that is no turn: queue entry, record, and the last events, of its own log, if it has one, and of the log of
-- the session that its record names in `of_session`.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 status, 6 result (JSON) or '', 7 error (JSON) or '',
--       8 seconds that records are kept, 9 '1' if it goes to the dead letters, 10… name, body of each event
-- Returns: -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0
-- Complexity: O(events)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/kept
--!include common/dead_letters
--!include common/sound
local task_id, attempt, status, result, err = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local retain_seconds, is_dead_letter = ARGV[8], ARGV[9] == '1'
local FIRST_EVENT = 10

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
for i = FIRST_EVENT, #ARGV, 2 do
  local name, body = ARGV[i], ARGV[i + 1]
  if of_session then isolate(append_event, of_session, name, body) end
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
-- The task has ended: what is wrong with the configuration must not make that an error.
return redis.pcall('HEXISTS', CONFIG, 'concurrency') == 1 and bounded_more() or 0
