-- Replace the entries of an event log by packs of them, which stand behind the older packs of the log. Nothing changes while a
-- turn of the session runs, or where the log is not what was read. Older packs go where entries were cut behind them: no reader
-- gets over the gap.
-- KEYS: 1 the tenant's queue, 2 the log's owner
-- ARGV: 1 tenant, 2 events kept, 3 offset of the first entry, 4 of the last, 5 their epoch,
--       6… packs, each '<first offset> <last offset> <epoch>\n' and the packed events
-- Returns: 1, or 0 where nothing has changed
-- Complexity: O(packs)
local owner, kept = KEYS[2], tonumber(ARGV[2])
local first, last, epoch = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local FIRST_PACK = 6
local log = owner .. ':events'
local packs = log .. ':packed'

local active, current = unpack(redis.call('HMGET', owner, 'active_task_id', 'epoch'))
if active or current ~= epoch or redis.call('XLEN', log) ~= last - first + 1 then return 0 end
local oldest, newest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1], redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if oldest[1] ~= '0-' .. first or newest[1] ~= '0-' .. last then return 0 end
local left_ms = math.max(redis.call('PTTL', log), redis.call('PTTL', packs))
local before = tonumber(string.match(redis.call('LINDEX', packs, -1) or '', '^%d+ (%d+) '))
if before and before + 1 ~= first then redis.call('DEL', packs) end
redis.call('RPUSH', packs, unpack(ARGV, FIRST_PACK))
redis.call('DEL', log)
if left_ms > 0 then redis.call('PEXPIRE', packs, left_ms) end
while true do
  local through = tonumber(string.match(redis.call('LINDEX', packs, 0) or '', '^%d+ (%d+) '))
  if not through or through > last - kept then return 1 end
  redis.call('LPOP', packs)
end
