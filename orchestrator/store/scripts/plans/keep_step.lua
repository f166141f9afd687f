#!lua flags=allow-oom
-- Keep the result of a step that another process than the task's worker has done; the first result of a step is the valid one.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 name of the step's checkpoint, 5 result (JSON)
-- Returns: the valid result; nil if the task is not there or has ended
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, name, result = ARGV[3], ARGV[4], ARGV[5]

local task = task_key(task_id)
local recorded, finished_at = unpack(redis.call('HMGET', task, 'task_id', 'finished_at'))
if not recorded or finished_at then return false end
if redis.call('HSETNX', task, 'checkpoint:' .. name, result) == 1 then
  redis.call('HSET', task, 'order:' .. name, redis.call('HINCRBY', task, 'calls', 1))
  trace_step(task_id, 'checkpoint', nil, name)
end
return redis.call('HGET', task, 'checkpoint:' .. name)
