#!lua flags=allow-oom
-- Keep the result of a finished step, so that a later attempt does not repeat it.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 name, 6 result (JSON)
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/entries
local task_id, attempt, name, result = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if not holds(task_id, attempt) then return -1 end
local task = task_key(task_id)
redis.call('HSET', task, 'checkpoint:' .. name, result)
redis.call('HSETNX', task, 'order:' .. name, redis.call('HINCRBY', task, 'calls', 1))
trace_step(task_id, 'checkpoint', nil, name)
return 1
