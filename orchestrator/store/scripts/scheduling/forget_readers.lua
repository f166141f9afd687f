-- Forget readers of a group that are gone: processes that were silent for long, and whose entries others have taken over.
-- KEYS: 1 the stream
-- ARGV: 1 group, 2 ms of silence
-- Returns: how many were forgotten
-- Complexity: O(readers)
local readers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
-- A stream that nobody has written to, or read from, has none.
if readers.err then return 0 end
local forgotten = 0
for _, reader in ipairs(readers) do
  local known = {}
  for i = 1, #reader, 2 do known[reader[i]] = reader[i + 1] end
  if known.pending == 0 and known.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], known.name)
    forgotten = forgotten + 1
  end
end
return forgotten
