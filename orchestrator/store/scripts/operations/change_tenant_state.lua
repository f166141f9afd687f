#!lua flags=allow-oom
-- Change a tenant's state; to change it to what it is already is fine.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 new state (active, paused, draining), 4 how it drains (work_off, discard),
--       5 ms until queued tasks are parked, or ''
-- Returns: {'ok', previous state}; {'refused', state} where a tenant that drains, or is drained, shall be paused
-- Complexity: O(1)
--!include common/tenant
local new, drain, deadline_ms = ARGV[3], ARGV[4], ARGV[5]

local previous = redis.call('HGET', CONFIG, 'state') or 'active'
local is_draining = previous == 'draining' or previous == 'drained'
if new == 'paused' and is_draining then return {'refused', previous} end
if new == 'draining' then
  if previous == 'drained' then return {'ok', previous} end
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', drain)
  if deadline_ms == '' then
    redis.call('HDEL', CONFIG, 'drain_deadline')
  else
    redis.call('HSET', CONFIG, 'drain_deadline', NOW + tonumber(deadline_ms))
  end
elseif new == 'active' and is_draining then
  -- Nothing may start, or be accepted, before the parked tasks are back in their places.
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', 'resuming')
else
  redis.call('HSET', CONFIG, 'state', new)
end
return {'ok', previous}
