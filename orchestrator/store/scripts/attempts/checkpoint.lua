-- Keep the result of a finished step, so that a later attempt does not repeat it.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 name, 6 result (JSON)
-- Returns: 1, or -1 if the attempt is no longer the current one
-- Complexity: O(1)
--!include common/tenant
--!include tasks/entries
if not holds(ARGV[3], ARGV[4]) then return -1 end
local task = task_key(ARGV[3])
redis.call('HSET', task, 'checkpoint:' .. ARGV[5], ARGV[6])
redis.call('HSETNX', task, 'order:' .. ARGV[5], redis.call('HINCRBY', task, 'calls', 1))
trace_step(ARGV[3], 'checkpoint', nil, ARGV[5])
return 1
