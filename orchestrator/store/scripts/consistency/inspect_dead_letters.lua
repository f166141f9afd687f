-- Read which tasks a part of the dead letters is of, without their messages.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 entry after which to go on or '', 4 how many
-- Returns: of each entry {id, task}
-- Complexity: O(entries)
--!include common/tenant
local after, count = ARGV[3], ARGV[4]

local found = {}
for _, item in ipairs(redis.call('XRANGE', DEAD_LETTERS, after == '' and '-' or '(' .. after, '+', 'COUNT', count)) do
  local entry, fields = unpack(item)
  local task_id = ''
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' then task_id = fields[i + 1] end
  end
  found[#found + 1] = {entry, task_id}
end
return found
