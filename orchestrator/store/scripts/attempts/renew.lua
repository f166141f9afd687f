-- Renew the leases of tasks in hand; those that somebody else has taken are left alone.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node, 4… task, attempt of each
-- Returns: the tasks that are lost
-- Complexity: O(tasks)
--!include common/tenant
--!include tasks/entries
local lost = {}
for i = 4, #ARGV, 2 do
  local task_id = ARGV[i]
  if holds(task_id, ARGV[i + 1]) then
    local fields = redis.call('HMGET', task_key(task_id), 'lane', 'entry')
    -- Without its lane or group a task has no lease to renew; it is still this attempt that finishes it.
    redis.pcall('XCLAIM', lane_key(fields[1]), GROUP, ARGV[3], 0, fields[2], 'JUSTID')
  else
    lost[#lost + 1] = task_id
  end
end
return lost
