-- Replace contents by the same ones under another key, each only where it still is what was read (compare and set).
-- KEYS: 1 the record: a hash, or a string
-- ARGV: 1… field ('' for a string), value that was read, value in its place
-- Returns: how many were replaced
-- Complexity: O(values)
local record = KEYS[1]
local FIRST_VALUE = 1

local replaced = 0
for i = FIRST_VALUE, #ARGV, 3 do
  local field, known, new = unpack(ARGV, i, i + 2)
  if field ~= '' then
    if redis.call('HGET', record, field) == known then
      redis.call('HSET', record, field, new)
      replaced = replaced + 1
    end
  elseif redis.call('GET', record) == known then
    redis.call('SET', record, new, 'KEEPTTL')
    replaced = replaced + 1
  end
end
return replaced
