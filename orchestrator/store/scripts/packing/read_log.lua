-- Read an event log: its entries, and the packs of older ones as far as they are asked for, at one moment.
-- KEYS: 1 the tenant's queue, 2 the log's owner
-- ARGV: 1 tenant, 2 events kept, 3 the offset after which to read, 4 how many events at most
-- Returns: {packs in their order, the first and the last of which may reach beyond what was asked for; entries}. What is behind
-- a gap of the log is left out: the entries may have been cut while no turn's end left time to pack them.
-- Complexity: O(events returned + packs that are younger)
local owner, after, limit = KEYS[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local log = owner .. ':events'
local packs = log .. ':packed'

local entries = redis.call('XRANGE', log, '0-' .. string.format('%d', after + 1), '+', 'COUNT', limit)
local following = entries[1] and tonumber(string.match(entries[1][1], '%-(%d+)$'))
local found, at = {}, -1
while following ~= after + 1 do
  local pack = redis.call('LINDEX', packs, at)
  local first, last = string.match(pack or '', '^(%d+) (%d+) ')
  first, last = tonumber(first), tonumber(last)
  if not first or last <= after or (following and last + 1 ~= following) then break end
  table.insert(found, 1, {pack = pack, events = last - math.max(first, after + 1) + 1})
  if first <= after + 1 then break end
  following = first
  at = at - 1
end
local shown, count = {}, 0
for _, one in ipairs(found) do
  if count >= limit then return {shown, {}} end
  shown[#shown + 1] = one.pack
  count = count + one.events
end
return {shown, count < limit and entries or {}}
