-- Delete the consumers of a group that are gone: silent for long, and without pending entries.
-- KEYS: 1 the stream
-- ARGV: 1 group, 2 ms of silence
-- Returns: how many were deleted
-- Complexity: O(consumers)
local stream = KEYS[1]
local group, silence_ms = ARGV[1], tonumber(ARGV[2])

local readers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
-- A stream that was never written to, or never read by a group, has none.
if readers.err then return 0 end
local forgotten = 0
for _, reader in ipairs(readers) do
  local known = {}
  for i = 1, #reader, 2 do known[reader[i]] = reader[i + 1] end
  if known.pending == 0 and known.idle >= silence_ms then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, known.name)
    forgotten = forgotten + 1
  end
end
return forgotten
