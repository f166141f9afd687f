-- Take the news of how far a service is with a call that was handed on to it.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 digest of a callback token, 5 progress (JSON), 6 execution or '',
--       7 session whose log tells it, or '' for the task's own, 8… name, body of each event
-- Returns: {'unknown'}, {'refused'} (the token is none of this task, or has expired), {'late', status} where nothing has
--          changed, or {'taken', status}
-- Complexity: O(events)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include tasks/waits
local task_id, task = ARGV[3], task_key(ARGV[3])
local record = redis.call('HMGET', task, 'status', 'finished_at')
if not record[1] then return {'unknown'} end
local call_id = call_of_token(task_id, ARGV[4])
if not call_id then return {'refused'} end
local delegation = read_delegation(task_id, call_id)
if record[2] or delegation.ended or redis.call('HEXISTS', task, answer_field(call_id)) == 1 then return {'late', record[1]} end
if ARGV[6] ~= '' and delegation.execution_id == '' then
  delegation.execution_id = ARGV[6]
  write_delegation(task_id, call_id, delegation)
end
redis.call('HSET', task, 'progress', ARGV[5])
for i = 8, #ARGV, 2 do append_for(task_id, ARGV[7], ARGV[i], ARGV[i + 1]) end
return {'taken', record[1]}
