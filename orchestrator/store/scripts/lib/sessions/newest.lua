-- The end of an event log, packed or not.

-- Return the offset of the newest event in the log of an owner, which is a key; nil where the log has none.
local function newest_event(owner)
  local entry = redis.call('XREVRANGE', owner .. ':events', '+', '-', 'COUNT', 1)[1]
  if entry then return tonumber(string.match(entry[1], '%-(%d+)$')) end
  local pack = redis.call('LINDEX', owner .. ':events:packed', -1)
  return pack and tonumber(string.match(pack, '^%d+ (%d+) ')) or nil
end
