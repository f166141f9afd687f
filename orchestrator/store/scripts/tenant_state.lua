-- Look at a tenant's state and work, or change the state; a draining tenant whose last work is done becomes drained.
-- Turns that wait in a session need no look: while one waits, its session's active task is in a lane or delayed.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 new state (active, paused, draining) or ''
-- Returns: {state, queued, in hand, delayed, dead letters, previous state}
-- Complexity: O(1)
--!include tenant
local previous = redis.call('HGET', CONFIG, 'state') or 'active'
local state = ARGV[3] ~= '' and ARGV[3] or previous
local length, in_hand = 0, 0
for _, lane in ipairs(LANES) do
  local stream = lane_key(lane)
  length = length + redis.call('XLEN', stream)
  local pending = redis.pcall('XPENDING', stream, GROUP)
  if not pending.err then in_hand = in_hand + pending[1] end
end
local delayed = redis.call('ZCARD', DELAYED)
if state == 'draining' and length + delayed == 0 then state = 'drained' end
if state ~= previous then redis.call('HSET', CONFIG, 'state', state) end
return {state, length - in_hand, in_hand, delayed, redis.call('XLEN', DEAD_LETTERS), previous}
