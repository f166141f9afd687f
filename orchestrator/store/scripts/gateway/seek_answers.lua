-- Look answers up in the cache. The first that asks for one which is not there gets its lease; the others wait for it.
-- KEYS: 1 the tenant's queue, then of each answer: its value, its lease
-- ARGV: 1 tenant, 2 events kept, 3 holder of leases that are given, 4 lease (ms)
-- Returns: of each answer the value; or 1 where the holder has its lease; or {ms} that the lease of another goes on
-- Complexity: O(answers)
local holder, lease_ms = ARGV[3], ARGV[4]
local FIRST_KEY = 2

local found = {}
for at = FIRST_KEY, #KEYS, 2 do
  local value, lease = redis.call('GET', KEYS[at]), KEYS[at + 1]
  if not value then
    local current = redis.call('HGET', lease, 'holder')
    if not current or current == holder then
      redis.call('HSET', lease, 'holder', holder)
      redis.call('PEXPIRE', lease, lease_ms)
      value = 1
    else
      redis.call('HSET', lease, 'awaited', 1)
      value = {redis.call('PTTL', lease)}
    end
  end
  found[#found + 1] = value
end
return found
