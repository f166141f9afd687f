-- End a running task that is no turn: queue entry, record, and the last events of its own log, if it has one, and of the session that is told.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 status, 6 result (JSON) or '', 7 error (JSON) or '',
--       8 seconds that records are kept, 9 '1' if it goes to the dead letters, 10… name, body of each event
-- Returns: -1 if the attempt is no longer the current one, else 1 if there is work that became claimable, else 0
-- Complexity: O(events)
--!include tenant
--!include events
--!include queue
--!include config
local task_id, status, result, err = ARGV[3], ARGV[5], ARGV[6], ARGV[7]
if not take_out(task_id, ARGV[4]) then return -1 end
if ARGV[9] == '1' then
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', task_id, 'error', err, 'attempts', ARGV[4], 'at', NOW)
end
for i = 10, #ARGV, 2 do append_for(task_id, '', ARGV[i], ARGV[i + 1]) end
local known = {}
if result ~= '' then known = {'result', result} end
if err ~= '' then
  known[#known + 1] = 'error'
  known[#known + 1] = err
end
local more = conclude(task_id, status, ARGV[8], unpack(known))
if more == 1 then return 1 end
-- A tenant at its bound of tasks in hand waits for this very moment.
return redis.call('HEXISTS', CONFIG, 'concurrency') == 1 and queue_length() > tasks_in_hand() and 1 or 0
