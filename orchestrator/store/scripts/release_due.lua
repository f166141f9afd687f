-- Put delayed tasks whose moment has come back into their lanes; a tool that was waited for has timed out.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 result of a tool that timed out (JSON)
-- Returns: {how many were released, the next moment (ms) or ''}
-- Complexity: O(tasks released)
--!include tenant
--!include queue
local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, ARGV[3])
for _, task_id in ipairs(due) do
  redis.call('ZREM', DELAYED, task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'status', 'waiting_for')
  if fields[1] == 'waiting' or fields[1] == 'retrying' then
    if fields[2] then
      redis.call('HSET', task_key(task_id), 'checkpoint:tool:' .. fields[2], ARGV[4])
      redis.call('HDEL', task_key(task_id), 'waiting_for')
    end
    enqueue(task_id)
    trace_step(task_id, 'resumed', nil, fields[2] and 'timed out')
  end
end
local following = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
return {#due, following[2] or ''}
