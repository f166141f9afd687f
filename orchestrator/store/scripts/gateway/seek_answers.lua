-- Look answers up in the cache; each that is not there is either led by who asks here first, or is waited for.
-- KEYS: 1 the tenant's queue, then of each answer: its value, its lease
-- ARGV: 1 tenant, 2 events kept, 3 name of who asks, 4 lease (ms)
-- Returns: of each answer the value; or 1 where it is led by who asks; or {ms} that the lease of another goes on
-- Complexity: O(answers)
local found = {}
for at = 2, #KEYS, 2 do
  local value, lease = redis.call('GET', KEYS[at]), KEYS[at + 1]
  if not value then
    local holder = redis.call('HGET', lease, 'holder')
    if not holder or holder == ARGV[3] then
      redis.call('HSET', lease, 'holder', ARGV[3])
      redis.call('PEXPIRE', lease, ARGV[4])
      value = 1
    else
      redis.call('HSET', lease, 'awaited', 1)
      value = {redis.call('PTTL', lease)}
    end
  end
  found[#found + 1] = value
end
return found
