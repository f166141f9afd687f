#!lua flags=allow-oom
-- Keep the progress of a task that is no turn: a checkpoint, fields of its record, events of its log; all of it or nothing.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, or '' where another process than its worker reports it,
--       5 number of this note within the attempt, or '', 6 name of the checkpoint, or '', 7 its result (JSON),
--       8 how many fields, then field, value ('' removes the field) of each, then name, body of each event
-- Returns: 1; 0 if it was noted before, or is a report on a task that is not there or has ended;
--       -1 if the attempt is no longer the current one
-- Complexity: O(fields + events)
--!include common/tenant
--!include tasks/queue
local task_id, attempt, number, checkpoint, result = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local FIRST_FIELD = 9
local FIRST_EVENT = FIRST_FIELD + 2 * tonumber(ARGV[8])

local task = task_key(task_id)
if attempt ~= '' then
  if not holds(task_id, attempt) then return -1 end
  if tonumber(number) <= tonumber(redis.call('HGET', task, 'emitted') or 0) then return 0 end
  redis.call('HSET', task, 'emitted', number)
else
  local recorded, finished_at = unpack(redis.call('HMGET', task, 'task_id', 'finished_at'))
  if not recorded or finished_at then return 0 end
end
if checkpoint ~= '' then
  redis.call('HSET', task, 'checkpoint:' .. checkpoint, result)
  redis.call('HSETNX', task, 'order:' .. checkpoint, redis.call('HINCRBY', task, 'calls', 1))
  trace_step(task_id, 'checkpoint', nil, checkpoint)
end
for i = FIRST_FIELD, FIRST_EVENT - 1, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if value == '' then
    redis.call('HDEL', task, field)
  else
    redis.call('HSET', task, field, value)
  end
end
redis.call('HSET', task, 'updated_at', NOW)
for i = FIRST_EVENT, #ARGV, 2 do append_for(task_id, '', ARGV[i], ARGV[i + 1]) end
return 1
