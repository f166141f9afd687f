-- Set a record aside that can't be read: nothing names it any more, and what is left of it expires. The turns of a session are
-- claimed, which moves each of them to the dead letters.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 'session', 'batch' or 'schedule', 4 its id, 5 seconds that it is kept
-- Returns: 1 if there was a record, else 0
-- Complexity: O(turns waiting)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include tasks/schedules
--!include common/sound
local kind, id, seconds = ARGV[3], ARGV[4], ARGV[5]

local function expire(key, suffixes)
  local left = 0
  for _, suffix in ipairs(suffixes) do left = left + redis.call('EXPIRE', key .. suffix, seconds) end
  return left > 0 and 1 or 0
end

if kind == 'batch' then
  must_be('hash', BATCHES .. ':waiting', 'zset', BATCHES)
  redis.call('HDEL', BATCHES .. ':waiting', id)
  redis.call('ZREM', BATCHES, id)
  return expire(batch_key(id), {'', ':items', ':results', ':window', ':events'})
elseif kind == 'schedule' then
  must_be('zset', SCHEDULES, 'zset', SCHEDULES_DUE)
  redis.call('ZREM', SCHEDULES, id)
  redis.call('ZREM', SCHEDULES_DUE, id)
  return expire(schedule_key(id), {''})
end
local session = session_key(id)
local user = redis.pcall('HGET', session, 'user_id')
must_be('zset', SESSIONS, 'zset', TIMERS)
for _, lane in ipairs(LANES) do must_be('stream', lane_key(lane)) end
redis.call('ZREM', SESSIONS, id)
redis.call('ZREM', TIMERS, id)
if type(user) == 'string' then redis.pcall('ZREM', SESSIONS .. ':user:' .. user, id) end
while true do
  local following = redis.pcall('LPOP', session .. ':turns')
  if type(following) ~= 'string' then break end
  put_into_lane(following)
end
redis.pcall('DEL', session .. ':turns')
isolate(count_turns, id)
return expire(session, {'', ':events', ':events:packed', ':history', ':states', ':turns'})
