-- End a running task that is no turn: queue entry, record, and the last events of its own log, if it has one, and of the session that is told.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 status, 6 result (JSON) or '', 7 error (JSON) or '',
--       8 seconds that records are kept, 9 '1' if it goes to the dead letters, 10… name, body of each event
-- Returns: -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0
-- Complexity: O(events)
--!include common/tenant
--!include common/events
--!include tasks/entries

-- What few ends need is made where it is needed.
local function after_this(...)
--!include tasks/queue
  return after_end(...)
end

-- A tenant at its bound of tasks in hand waits for this very moment.
local function bounded_more()
--!include common/config
  return queue_length() > tasks_in_hand() and 1 or 0
end

local task_id, status, result, err = ARGV[3], ARGV[5], ARGV[6], ARGV[7]
local task = task_key(task_id)
local known = redis.call('HMGET', task, 'correlation_id', 'attempt', 'node', 'epoch', 'steps', 'created_at', 'status', 'lane',
  'entry', 'turn_of_user', 'offset', 'of_session', 'callback_ends', 'delegations')
local epoch, offset = known[4], tonumber(known[11])
if known[2] ~= ARGV[4] or known[7] ~= 'processing' then return -1 end
leave_lane(task_id, known[8], known[9], known[10])
if ARGV[9] == '1' then
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', task_id, 'error', err, 'attempts', ARGV[4], 'at', NOW)
end
for i = 10, #ARGV, 2 do
  if known[12] then append_event(known[12], ARGV[i], ARGV[i + 1]) end
  if epoch then
    offset = offset + 1
    write_event(task, task_id, epoch, offset, ARGV[i], ARGV[i + 1])
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
close(task_id, status, ARGV[8], known, unpack(changes))
local calls_off = known[14] and known[14] ~= '0'
if known[13] or calls_off or string.find(task_id, '.', 1, true) then
  if after_this(task_id, status, known[13], known[14]) == 1 then return 1 end
end
return redis.call('HEXISTS', CONFIG, 'concurrency') == 1 and bounded_more() or 0
