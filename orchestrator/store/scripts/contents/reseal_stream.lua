-- Replace contents in entries of a stream by the same ones under another key, each only where it still is what was read. The
-- stream is written anew with the same ids, since an entry can't be changed; so not where a consumer group reads it.
-- KEYS: 1 the stream
-- ARGV: 1… entry, field, value that was read, value in its place
-- Returns: how many were replaced; -1 where a consumer group reads the stream
-- Complexity: O(entries)
local stream = KEYS[1]
local FIRST_ENTRY = 1

if redis.call('TYPE', stream).ok ~= 'stream' then return 0 end
if #redis.call('XINFO', 'GROUPS', stream) > 0 then return -1 end

local wanted = {}
for i = FIRST_ENTRY, #ARGV, 4 do
  local entry, field, known, new = unpack(ARGV, i, i + 3)
  wanted[entry] = wanted[entry] or {}
  wanted[entry][field] = {known = known, new = new}
end

local replaced, entries = 0, redis.call('XRANGE', stream, '-', '+')
for _, entry in ipairs(entries) do
  local changes, flat = wanted[entry[1]] or {}, entry[2]
  for i = 1, #flat, 2 do
    local change = changes[flat[i]]
    if change and change.known == flat[i + 1] then
      flat[i + 1] = change.new
      replaced = replaced + 1
    end
  end
end
if replaced == 0 then return 0 end

local info, told = {}, redis.call('XINFO', 'STREAM', stream)
for i = 1, #told, 2 do info[told[i]] = told[i + 1] end
local left_ms = redis.call('PTTL', stream)
redis.call('DEL', stream)
for _, entry in ipairs(entries) do redis.call('XADD', stream, entry[1], unpack(entry[2])) end
redis.call('XSETID', stream, info['last-generated-id'], 'ENTRIESADDED', info['entries-added'],
  'MAXDELETEDID', info['max-deleted-entry-id'])
if left_ms > 0 then redis.call('PEXPIRE', stream, left_ms) end
return replaced
