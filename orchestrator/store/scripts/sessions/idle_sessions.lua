#!lua flags=allow-oom
-- Find the sessions whose idle timer has run out, and those whose time is over; forget those whose records have gone.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most of each, 4 seconds that records of closed sessions are kept
-- Returns: {idle sessions, the longest idle first; sessions whose time is over}
-- Complexity: O(log of sessions + sessions found)
--!include common/tenant
--!include common/events
--!include sessions/sessions
local count, closed_seconds = ARGV[3], ARGV[4]
local LOOKED_AT, LOOK_MS = 3, 600000

for _, member in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', NOW, 'LIMIT', 0, count)) do
  local session_id, user = string.match(member, '^(%S+) (.*)$')
  if session_id then forget_session(session_id, user) end
  redis.call('ZREM', ENDED, member)
end

-- Return what has become of a session: 'gone', 'closed', 'open', 'works' while it has a turn, or 'damaged'.
local function standing_of(session_id)
  local state = redis.pcall('HGET', session_key(session_id), 'state')
  if type(state) == 'table' then return 'damaged' end
  if not state then return 'gone' end
  if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return 'closed' end
  return state == 'PROCESSING' and 'works' or 'open'
end

-- Sessions of older versions have neither a timer nor an end: any few are looked at each time, until all have them.
for _, session_id in ipairs(redis.call('ZRANDMEMBER', SESSIONS, LOOKED_AT)) do
  local standing = standing_of(session_id)
  if standing == 'gone' then
    redis.call('ZREM', SESSIONS, session_id)
  elseif standing == 'closed' and redis.call('TTL', session_key(session_id)) == -1 then
    expire_session(session_id, closed_seconds)
  elseif standing == 'open' and not redis.call('ZSCORE', TIMERS, session_id) then
    redis.call('ZADD', TIMERS, NOW + LOOK_MS, session_id)
  end
  if standing == 'open' or standing == 'works' then open_session(session_id) end
end

local over = {}
for _, session_id in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', NOW, 'LIMIT', 0, count)) do
  local standing = standing_of(session_id)
  if standing == 'gone' or standing == 'closed' or standing == 'damaged' then
    redis.call('ZREM', OPEN, session_id)
  else
    over[#over + 1] = session_id
  end
end
return {redis.call('ZRANGEBYSCORE', TIMERS, '-inf', NOW, 'LIMIT', 0, count), over}
