#!lua flags=allow-oom
-- Note that a service has accepted a call, and the task that tells the service if the calling task ends first.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 call, 6 execution, or '' where the service names none, 7 id, 8 message,
--       9 priority and 10 type of the task that tells the service, or '', '', '', '' where the service can't be told
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, attempt, call_id, execution_id = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local undo, undo_message, undo_priority, undo_type = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

if not holds(task_id, attempt) then return -1 end
local task = task_key(task_id)
local delegation = read_delegation(task_id, call_id)
if not delegation then return 1 end
if execution_id ~= '' then delegation.execution_id = execution_id end
delegation.sent = true
if undo ~= '' and not delegation.told and not delegation.ended then
  delegation.told = true
  redis.call('HINCRBY', task, 'delegations', 1)
  if redis.call('HSETNX', task, 'undo_task', undo) == 1 then
    redis.call('HSET', task, 'undo_message', undo_message, 'undo_priority', undo_priority, 'undo_type', undo_type)
  end
end
write_delegation(task_id, call_id, delegation)
trace_step(task_id, 'delegated', nil, call_id)
return 1
