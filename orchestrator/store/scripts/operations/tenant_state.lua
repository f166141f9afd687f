-- Read a tenant's state and how much of its work is where, or change the state.
-- Turns that wait in a session need no look: while one waits, its session's active task is in a lane, delayed or parked;
-- the same holds for the tasks that wait behind another of their user.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 new state (active, paused, draining) or '',
--       4 how it drains (work_off, discard), 5 ms until queued tasks are parked, or ''
-- Returns: {state, previous state, waiting in the high, normal, low lane, in hand, delayed, parked, behind others of their
--          user, dead letters, moment (ms) of the oldest that waits or 0, tasks accepted within the last minute,
--          {field, value of the configuration…}}; {'refused', state} where a tenant that drains shall be paused
-- Complexity: O(log of the tenant's tasks)
--!include common/tenant
--!include tasks/queue
--!include tasks/depth
--!include tasks/unclaimed
local new, drain, deadline_ms = ARGV[3], ARGV[4], ARGV[5]

local previous = redis.call('HGET', CONFIG, 'state') or 'active'
local is_draining = previous == 'draining' or previous == 'drained'
if new == 'paused' and is_draining then return {'refused', previous} end
if new == 'draining' and previous ~= 'drained' then
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', drain)
  if deadline_ms == '' then
    redis.call('HDEL', CONFIG, 'drain_deadline')
  else
    redis.call('HSET', CONFIG, 'drain_deadline', NOW + tonumber(deadline_ms))
  end
elseif new == 'active' and is_draining then
  -- Nothing may start, or be accepted, before the parked tasks are back in their places.
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', 'resuming')
elseif new == 'active' or new == 'paused' then
  redis.call('HSET', CONFIG, 'state', new)
end

local waiting, oldest = {}, 0
for _, lane in ipairs(LANES) do
  local pending = redis.pcall('XPENDING', lane_key(lane), GROUP)
  waiting[lane] = redis.call('XLEN', lane_key(lane)) - (pending.err and 0 or pending[1])
  local head = unclaimed(lane, 1)[1]
  if head then
    local entry, fields = unpack(head)
    local task_id = field_of(fields, 'task_id')
    local since = task_id and number_of(task_id, 'created_at') or tonumber(string.match(entry, '^%d+'))
    if oldest == 0 or since < oldest then oldest = since end
  end
end
return {
  redis.call('HGET', CONFIG, 'state') or 'active', previous, waiting.high, waiting.normal, waiting.low, tasks_in_hand(),
  redis.call('ZCARD', DELAYED), redis.call('XLEN', PARKED), tasks_behind_users(), redis.call('XLEN', DEAD_LETTERS), oldest,
  redis.call('ZCOUNT', INDEX, NOW - 60000, '+inf'), redis.call('HGETALL', CONFIG),
}
