-- Keep what a step gave that somebody else asked for on behalf of a task; the first result of a step is the one that counts.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 name of the step's checkpoint, 5 result (JSON)
-- Returns: the result that counts; nil if the task is not there or has ended
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
local task_id, task, name = ARGV[3], task_key(ARGV[3]), ARGV[4]
local fields = redis.call('HMGET', task, 'task_id', 'finished_at')
if not fields[1] or fields[2] then return false end
if redis.call('HSETNX', task, 'checkpoint:' .. name, ARGV[5]) == 1 then
  redis.call('HSET', task, 'order:' .. name, redis.call('HINCRBY', task, 'calls', 1))
  trace_step(task_id, 'checkpoint', nil, name)
end
return redis.call('HGET', task, 'checkpoint:' .. name)
