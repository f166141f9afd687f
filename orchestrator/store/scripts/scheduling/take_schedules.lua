-- Take the schedules whose moment has come. Whoever takes one has a minute to run it; then another process may.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 ms until another process may run one that was taken
-- Returns: {now (ms), moment (ms) of the next one or '', schedule record…}
-- Complexity: O(schedules taken)
--!include common/tenant
--!include tasks/schedules
local taken = {NOW, ''}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', SCHEDULES_DUE, '-inf', NOW, 'LIMIT', 0, ARGV[3])) do
  local record = redis.call('HGETALL', schedule_key(id))
  if #record == 0 then
    redis.call('ZREM', SCHEDULES_DUE, id)
  else
    redis.call('ZADD', SCHEDULES_DUE, NOW + ARGV[4], id)
    taken[#taken + 1] = record
  end
end
taken[2] = redis.call('ZRANGE', SCHEDULES_DUE, 0, 0, 'WITHSCORES')[2] or ''
return taken
