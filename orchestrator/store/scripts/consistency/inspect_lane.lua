-- Read a part of a lane for the consistency check, each entry with the record of its task.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry after which to go on or '', 5 how many
-- Returns: of each entry {id, task, status ('damaged' where its record is of the wrong type), 1 if the task's record names the entry}
-- Complexity: O(entries)
--!include common/tenant
local lane, after, count = ARGV[3], ARGV[4], ARGV[5]

local found = {}
for _, item in ipairs(redis.call('XRANGE', lane_key(lane), after == '' and '-' or '(' .. after, '+', 'COUNT', count)) do
  local entry, fields = unpack(item)
  local task_id, status, recorded_entry = '', nil, nil
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' then task_id = fields[i + 1] end
  end
  if task_id ~= '' then
    local record = redis.pcall('HMGET', task_key(task_id), 'status', 'entry')
    status, recorded_entry = unpack(record.err and {'damaged'} or record)
  end
  found[#found + 1] = {entry, task_id, status or '', recorded_entry == entry and 1 or 0}
end
return found
