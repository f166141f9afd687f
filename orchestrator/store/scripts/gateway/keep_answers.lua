-- End the leases of answers, keep those that are to be kept, and wake who waits for them. What a tenant keeps is bounded:
-- beyond that the oldest answers go.
-- KEYS: 1 the tenant's queue, 2 the tenant's answers by the moment they were kept, 3 their size, then of each: its value,
--       its lease
-- ARGV: 1 tenant, 2 events kept, 3 name of who led them, 4 ms that they are kept, 5 bytes that a tenant may keep,
--       6 channel, then of each the answer, or nothing
-- Returns: 1
-- Complexity: O(answers kept and dropped)
--!include common/tenant
local size = 0
for at = 4, #KEYS, 2 do
  local value, lease = ARGV[6 + (at - 2) / 2], KEYS[at + 1]
  if value ~= '' then
    redis.call('SET', KEYS[at], value, 'PX', ARGV[4])
    if redis.call('ZADD', KEYS[2], NOW, #value .. ':' .. KEYS[at]) == 1 then size = size + #value end
  end
  local known = redis.call('HMGET', lease, 'holder', 'awaited')
  if known[1] == ARGV[3] then
    redis.call('DEL', lease)
    if known[2] then redis.call('PUBLISH', ARGV[6], KEYS[at]) end
  end
end
size = redis.call('INCRBY', KEYS[3], size)
while size > tonumber(ARGV[5]) do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then break end
  local colon = string.find(oldest, ':', 1, true)
  redis.call('DEL', string.sub(oldest, colon + 1))
  size = redis.call('DECRBY', KEYS[3], tonumber(string.sub(oldest, 1, colon - 1)))
end
redis.call('PEXPIRE', KEYS[2], ARGV[4], 'GT')
redis.call('PEXPIRE', KEYS[3], ARGV[4], 'GT')
if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
if redis.call('PTTL', KEYS[3]) < 0 then redis.call('PEXPIRE', KEYS[3], ARGV[4]) end
return 1
