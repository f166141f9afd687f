#!lua flags=allow-oom
-- Take a report how far a service is with a delegated call.
-- KEYS: 1 the tenant's queue, 2 the place of the task that has the execution run, where the execution has a name
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 digest of a callback token, 5 progress (JSON), 6 execution or '',
--       7 session whose log has the events, or '' for the task's own, 8… name, body of each event
-- Returns: {'unknown'}, {'refused'} (the token is none of this task, or has expired), {'late', status} where nothing has
--          changed, or {'taken', status}
-- Complexity: O(events)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include tasks/waits
local task_id, digest, progress, execution_id, session_id = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local run, FIRST_EVENT = KEYS[2], 8
local RUN_SECONDS = 7 * 86400

local task = task_key(task_id)
local status, finished_at = unpack(redis.call('HMGET', task, 'status', 'finished_at'))
if not status then return {'unknown'} end
local call_id = call_of_token(task_id, digest)
if not call_id then return {'refused'} end
local delegation = read_delegation(task_id, call_id)
if finished_at or delegation.ended or redis.call('HEXISTS', task, answer_field(call_id)) == 1 then return {'late', status} end
if execution_id ~= '' and delegation.execution_id == '' then
  delegation.execution_id = execution_id
  if run then redis.call('SET', run, task_id, 'NX', 'EX', RUN_SECONDS) end
  write_delegation(task_id, call_id, delegation)
end
redis.call('HSET', task, 'progress', progress, 'updated_at', NOW)
for i = FIRST_EVENT, #ARGV, 2 do append_for(task_id, session_id, ARGV[i], ARGV[i + 1]) end
return {'taken', status}
