-- Keep how a task goes that is no turn: a checkpoint, fields of its record, events of its log; all of it or nothing.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, or '' where somebody else than its worker tells of it,
--       5 number of this note within the attempt, or '', 6 name of the checkpoint, or '', 7 its result (JSON),
--       8 how many fields, then field, value ('' takes it away) of each, then name, body of each event
-- Returns: 1; 0 if it was noted before, or told of a task that is not there or has ended;
--       -1 if the attempt is no longer the current one
-- Complexity: O(fields + events)
--!include common/tenant
--!include tasks/queue
local task_id, task, attempt = ARGV[3], task_key(ARGV[3]), ARGV[4]
if attempt ~= '' then
  if not holds(task_id, attempt) then return -1 end
  if tonumber(ARGV[5]) <= tonumber(redis.call('HGET', task, 'emitted') or 0) then return 0 end
  redis.call('HSET', task, 'emitted', ARGV[5])
else
  local fields = redis.call('HMGET', task, 'task_id', 'finished_at')
  if not fields[1] or fields[2] then return 0 end
end
if ARGV[6] ~= '' then
  redis.call('HSET', task, 'checkpoint:' .. ARGV[6], ARGV[7])
  redis.call('HSETNX', task, 'order:' .. ARGV[6], redis.call('HINCRBY', task, 'calls', 1))
  trace_step(task_id, 'checkpoint', nil, ARGV[6])
end
local first_event = 9 + 2 * tonumber(ARGV[8])
for i = 9, first_event - 1, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', task, ARGV[i])
  else
    redis.call('HSET', task, ARGV[i], ARGV[i + 1])
  end
end
for i = first_event, #ARGV, 2 do append_for(task_id, '', ARGV[i], ARGV[i + 1]) end
return 1
