#!lua flags=allow-oom
-- Append an event on behalf of a running task.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session, or '' for the task's own log, 6 name, 7 body,
--       8 number of the event within the attempt, 9 the text that it adds to the answer, or ''
-- Returns: the offset (0 if it was appended before), or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include tasks/entries
local task_id, attempt, session_id, name, body, number, text = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]

if not holds(task_id, attempt) then return -1 end
local emitted = tonumber(redis.call('HGET', task_key(task_id), 'emitted') or 0)
if tonumber(number) <= emitted then return 0 end
local offset = append_for(task_id, session_id, name, body)
redis.call('HSET', task_key(task_id), 'emitted', number)
-- Followers that come in the middle of a turn are shown what was said, also where the log no longer reaches back.
local said = task_key(task_id) .. ':text'
if name == 'chat.stream_reset' then
  redis.call('DEL', said)
elseif text ~= '' and redis.pcall('APPEND', said, text) == #text then
  redis.call('EXPIRE', said, LOG_SECONDS)
end
return offset
