-- Append an event on behalf of a running task.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 session, or '' for the task's own log, 6 name, 7 body, 8 number of the event within the attempt
-- Returns: the offset (0 if it was appended before), or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include common/events
--!include tasks/entries
if not holds(ARGV[3], ARGV[4]) then return -1 end
local emitted = tonumber(redis.call('HGET', task_key(ARGV[3]), 'emitted') or 0)
if tonumber(ARGV[8]) <= emitted then return 0 end
redis.call('HSET', task_key(ARGV[3]), 'emitted', ARGV[8])
return append_for(ARGV[3], ARGV[5], ARGV[6], ARGV[7])
