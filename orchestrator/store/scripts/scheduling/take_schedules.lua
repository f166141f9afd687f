-- Take the schedules that are due. The process that takes one has a lease to run it; after that another process may.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 lease (ms)
-- Returns: {now (ms), moment (ms) of the next one or '', schedule record…}
-- Complexity: O(schedules taken)
--!include common/tenant
--!include tasks/schedules
local count, lease_ms = ARGV[3], ARGV[4]

local reply = {NOW, ''}
for _, schedule_id in ipairs(redis.call('ZRANGEBYSCORE', SCHEDULES_DUE, '-inf', NOW, 'LIMIT', 0, count)) do
  local record = redis.pcall('HGETALL', schedule_key(schedule_id))
  if record.err then
    -- A record of the wrong type keeps the others waiting no longer than the lease.
    redis.call('ZADD', SCHEDULES_DUE, NOW + lease_ms, schedule_id)
  elseif #record == 0 then
    redis.call('ZREM', SCHEDULES_DUE, schedule_id)
  else
    redis.call('ZADD', SCHEDULES_DUE, NOW + lease_ms, schedule_id)
    reply[#reply + 1] = record
  end
end
reply[2] = redis.call('ZRANGE', SCHEDULES_DUE, 0, 0, 'WITHSCORES')[2] or ''
return reply
