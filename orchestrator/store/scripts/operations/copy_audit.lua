#!lua flags=allow-oom
-- Copy entries of tenants' audit trails into the stream of what belongs to none, for those who read all of it there.
-- Copies push out older copies alone: the entries of the stream itself stay for their time.
-- KEYS: 1 the stream, 2 list: the ids of the copies in it, oldest first
-- ARGV: 1 copies that are kept at most, 2 ms that they are kept, 3 ms that the stream is kept,
--       4… for each entry: how many arguments follow, field, value…
-- Returns: nothing
-- Complexity: O(fields + copies removed)
local stream, copies = KEYS[1], KEYS[2]
local most, kept_ms, stream_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local last
local at = 4
while at <= #ARGV do
  local fields = tonumber(ARGV[at])
  last = redis.call('XADD', stream, '*', unpack(ARGV, at + 1, at + fields))
  redis.call('RPUSH', copies, last)
  at = at + fields + 1
end
if not last then return end
local oldest_ms = tonumber(string.match(last, '^%d+')) - kept_ms
local first = redis.call('LINDEX', copies, 0)
while first and (redis.call('LLEN', copies) > most or tonumber(string.match(first, '^%d+')) < oldest_ms) do
  redis.call('LPOP', copies)
  redis.call('XDEL', stream, first)
  first = redis.call('LINDEX', copies, 0)
end
redis.call('PEXPIRE', stream, stream_ms)
redis.call('PEXPIRE', copies, stream_ms)
