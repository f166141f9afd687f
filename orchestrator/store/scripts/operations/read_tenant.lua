-- Read a tenant's state, its configuration, and how much of its work is where.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept
-- Returns: {waiting in the high, normal, low lane, in hand, delayed, parked, behind others of their user, dead
--          letters, moment (ms) of the oldest that waits or 0, tasks accepted within the last minute,
--          {field, value of the configuration…}, turns behind another of their session, items of batches that are no
--          tasks yet}
-- Complexity: O(log of the tenant's tasks + open batches)
--!include common/tenant
--!include tasks/queue
--!include tasks/depth
--!include tasks/unclaimed
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
  waiting.high, waiting.normal, waiting.low, tasks_in_hand(),
  redis.call('ZCARD', DELAYED), redis.call('XLEN', PARKED), tasks_behind_users(), redis.call('XLEN', DEAD_LETTERS), oldest,
  redis.call('ZCOUNT', INDEX, NOW - 60000, '+inf'), redis.call('HGETALL', CONFIG), turns_waiting(), items_waiting(),
}
