-- Replace a packed content by the same one under another key, only where it still is what was read (compare and set).
-- KEYS: 1 a record with the content in pieces (`z:0`…), or a list of packs
-- ARGV: 1 value that was read, 2… of a record name and value of each new piece, of a list the new value alone
-- Returns: 1 if it was replaced, else 0
-- Complexity: O(pieces, or length of the list)
local place = KEYS[1]
local known, new = ARGV[1], {unpack(ARGV, 2)}

local kind = redis.call('TYPE', place).ok
if kind == 'list' then
  local at = redis.call('LPOS', place, known)
  if at then redis.call('LSET', place, at, new[1]) end
  return at and 1 or 0
end
if kind ~= 'hash' then return 0 end
local pieces, names = {}, {}
while true do
  local name = 'z:' .. #names
  local piece = redis.call('HGET', place, name)
  if not piece then break end
  names[#names + 1], pieces[#pieces + 1] = name, piece
end
if #names == 0 or table.concat(pieces) ~= known then return 0 end
redis.call('HDEL', place, unpack(names))
redis.call('HSET', place, unpack(new))
return 1
