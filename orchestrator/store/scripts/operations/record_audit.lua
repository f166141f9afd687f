#!lua flags=allow-oom
-- Append an entry to a stream of the audit trail, which keeps entries for a time, and no more than a bound.
-- KEYS: 1 the stream
-- ARGV: 1 ms that entries are kept, 2 entries that the stream has at most, 3… field, value of the entry
-- Returns: how many entries were removed before their time
-- Complexity: O(fields + entries removed)
local stream, retention_ms, most = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local FIRST_FIELD = 3

local entry = redis.call('XADD', stream, '*', unpack(ARGV, FIRST_FIELD))
local now_ms = tonumber(string.match(entry, '^%d+'))
redis.call('XTRIM', stream, 'MINID', string.format('%.0f', math.max(0, now_ms - retention_ms)))
redis.call('PEXPIRE', stream, retention_ms)
if redis.call('XLEN', stream) <= most then return 0 end
return redis.call('XTRIM', stream, 'MAXLEN', '~', most)
