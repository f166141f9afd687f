#!lua flags=allow-oom
-- Renew the leases of running tasks; those that another process has taken over are left alone.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node, 4… task, attempt of each
-- Returns: the tasks that are lost
-- Complexity: O(tasks)
--!include common/tenant
--!include tasks/entries
local node = ARGV[3]

local lost = {}
for i = 4, #ARGV, 2 do
  local task_id, attempt = ARGV[i], ARGV[i + 1]
  if holds(task_id, attempt) then
    local lane, entry = unpack(redis.call('HMGET', task_key(task_id), 'lane', 'entry'))
    -- Without its lane or group a task has no lease to renew; this attempt may finish it all the same.
    redis.pcall('XCLAIM', lane_key(lane), GROUP, node, 0, entry, 'JUSTID')
  else
    lost[#lost + 1] = task_id
  end
end
return lost
