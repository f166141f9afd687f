-- Note that a service has taken a call on, and what tells it if the task ends before the service does.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 call, 6 execution, or '' where the service names none, 7 id, 8 message and
--       9 priority of the task that tells it, or '', '', '' where it can't be told
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, call_id, task = ARGV[3], ARGV[5], task_key(ARGV[3])
if not holds(task_id, ARGV[4]) then return -1 end
local delegation = read_delegation(task_id, call_id)
if not delegation then return 1 end
if ARGV[6] ~= '' then delegation.execution_id = ARGV[6] end
delegation.sent = true
if ARGV[7] ~= '' and not delegation.told and not delegation.ended then
  delegation.told = true
  redis.call('HINCRBY', task, 'delegations', 1)
  if redis.call('HSETNX', task, 'undo_task', ARGV[7]) == 1 then
    redis.call('HSET', task, 'undo_message', ARGV[8], 'undo_priority', ARGV[9])
  end
end
write_delegation(task_id, call_id, delegation)
trace_step(task_id, 'delegated', nil, call_id)
return 1
