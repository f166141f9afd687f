#!lua flags=allow-oom
-- Delay a failed task until its next attempt. It holds no slot meanwhile; its session's next turns wait on, so their order stays.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session or '', 6 ms until it starts over, 7 ms that are left of its time,
--       8 error (JSON), 9 body of an event or '', 10 its name
-- Returns: -1 if the attempt is no longer the current one, else the moment (ms) at which it starts over
-- Complexity: O(log of tasks delayed)
--!include common/tenant
--!include common/events
--!include tasks/entries
--!include common/sound
local task_id, attempt, session_id, delay_ms = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local time_left_ms, err, body, event = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

if not holds(task_id, attempt) then return -1 end
local task = task_key(task_id)
must_be('zset', DELAYED)
if body ~= '' then must_be_log(session_id == '' and task or session_key(session_id)) end
dequeue(task_id)
-- A task that is to be cancelled is due at once, so that a worker ends it.
local due = redis.call('HEXISTS', task, 'cancel') == 1 and NOW or NOW + delay_ms
redis.call('HSET', task, 'status', 'retrying', 'time_left', time_left_ms, 'retry_error', err)
redis.call('HINCRBY', task, 'failures', 1)
redis.call('HDEL', task, 'node')
redis.call('ZADD', DELAYED, due, task_id)
trace_step(task_id, 'retried', nil, 'in ' .. (due - NOW) .. ' ms')
if body ~= '' then append_for(task_id, session_id, event, body) end
return due
