-- Look at a tenant's state and work, or change the state.
-- Turns that wait in a session need no look: while one waits, its session's active task is in a lane, delayed or parked;
-- the same holds for the tasks that wait behind another of their user.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 new state (active, paused, draining) or '',
--       4 how it drains (work_off, discard), 5 ms until what is left is put aside, or ''
-- Returns: {state, previous state, waiting in the high, normal, low lane, in hand, delayed, parked, behind others of their
--          user, dead letters, moment (ms) of the oldest that waits or 0, tasks taken in within the last minute,
--          {field, value of the configuration…}}; {'refused', state} where a tenant that drains shall be paused
-- Complexity: O(log of the tenant's tasks)
--!include common/tenant
--!include tasks/queue
--!include common/config
--!include tasks/unclaimed
local previous = redis.call('HGET', CONFIG, 'state') or 'active'
local new, is_draining = ARGV[3], previous == 'draining' or previous == 'drained'
if new == 'paused' and is_draining then return {'refused', previous} end
if new == 'draining' and previous ~= 'drained' then
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', ARGV[4])
  if ARGV[5] == '' then
    redis.call('HDEL', CONFIG, 'drain_deadline')
  else
    redis.call('HSET', CONFIG, 'drain_deadline', NOW + tonumber(ARGV[5]))
  end
elseif new == 'active' and is_draining then
  -- Nothing may start, or be taken in, before what was put aside is back in its place.
  redis.call('HSET', CONFIG, 'state', 'draining', 'drain', 'resuming')
elseif new == 'active' or new == 'paused' then
  redis.call('HSET', CONFIG, 'state', new)
end
local seen = {redis.call('HGET', CONFIG, 'state') or 'active', previous}
local oldest = 0
for _, lane in ipairs(LANES) do
  local pending = redis.pcall('XPENDING', lane_key(lane), GROUP)
  seen[#seen + 1] = redis.call('XLEN', lane_key(lane)) - (pending.err and 0 or pending[1])
  local head = unclaimed(lane, 1)[1]
  if head then
    local task_id = field_of(head[2], 'task_id')
    local since = task_id and redis.call('HGET', task_key(task_id), 'created_at') or string.match(head[1], '^%d+')
    if oldest == 0 or tonumber(since) < oldest then oldest = tonumber(since) end
  end
end
for _, figure in ipairs({
  tasks_in_hand(), redis.call('ZCARD', DELAYED), redis.call('XLEN', PARKED), tasks_behind_users(),
  redis.call('XLEN', DEAD_LETTERS), oldest, redis.call('ZCOUNT', INDEX, NOW - 60000, '+inf'),
}) do seen[#seen + 1] = figure end
seen[#seen + 1] = redis.call('HGETALL', CONFIG)
return seen
