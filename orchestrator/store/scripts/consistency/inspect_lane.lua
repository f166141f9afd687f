-- Read a part of a lane for the audit, each entry beside the record of its task.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry after which to go on or '', 5 how many
-- Returns: of each entry {id, task, status, 1 if the task's record names the entry}
-- Complexity: O(entries)
--!include common/tenant
local found = {}
local entries = redis.call('XRANGE', lane_key(ARGV[3]), ARGV[4] == '' and '-' or '(' .. ARGV[4], '+', 'COUNT', ARGV[5])
for _, item in ipairs(entries) do
  local task_id, record = '', {}
  for i = 1, #item[2], 2 do
    if item[2][i] == 'task_id' then task_id = item[2][i + 1] end
  end
  if task_id ~= '' then record = redis.call('HMGET', task_key(task_id), 'status', 'entry') end
  found[#found + 1] = {item[1], task_id, record[1] or '', record[2] == item[1] and 1 or 0}
end
return found
