-- End the leases of answers, keep the answers that are to be kept, and wake the calls that wait for them. What a tenant keeps
-- is bounded: beyond that the oldest answers go.
-- KEYS: 1 the tenant's queue, 2 the tenant's answers by the moment they were kept, 3 their size, then of each: its value,
--       its lease
-- ARGV: 1 tenant, 2 events kept, 3 holder of the leases, 4 ms that answers are kept, 5 bytes that a tenant may keep,
--       6 channel, then of each the answer, or nothing
-- Returns: 1
-- Complexity: O(answers kept and dropped)
--!include common/tenant
local kept, size_key = KEYS[2], KEYS[3]
local holder, kept_ms, most_bytes, channel = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local FIRST_KEY, FIRST_ANSWER = 4, 7

local size = 0
for at = FIRST_KEY, #KEYS, 2 do
  local value_key, lease, value = KEYS[at], KEYS[at + 1], ARGV[FIRST_ANSWER + (at - FIRST_KEY) / 2]
  if value ~= '' then
    redis.call('SET', value_key, value, 'PX', kept_ms)
    if redis.call('ZADD', kept, NOW, #value .. ':' .. value_key) == 1 then size = size + #value end
  end
  local current, awaited = unpack(redis.call('HMGET', lease, 'holder', 'awaited'))
  if current == holder then
    redis.call('DEL', lease)
    if awaited then redis.call('PUBLISH', channel, value_key) end
  end
end
size = redis.call('INCRBY', size_key, size)
while size > most_bytes do
  local oldest = redis.call('ZPOPMIN', kept)[1]
  if not oldest then break end
  local colon = string.find(oldest, ':', 1, true)
  redis.call('DEL', string.sub(oldest, colon + 1))
  size = redis.call('DECRBY', size_key, tonumber(string.sub(oldest, 1, colon - 1)))
end
redis.call('PEXPIRE', kept, kept_ms, 'GT')
redis.call('PEXPIRE', size_key, kept_ms, 'GT')
if redis.call('PTTL', kept) < 0 then redis.call('PEXPIRE', kept, kept_ms) end
if redis.call('PTTL', size_key) < 0 then redis.call('PEXPIRE', size_key, kept_ms) end
return 1
