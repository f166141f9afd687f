-- Prolong the leases of answers that are on their way.
-- KEYS: 1 the tenant's queue, then the lease of each answer
-- ARGV: 1 tenant, 2 events kept, 3 holder of the leases, 4 lease (ms)
-- Returns: how many it holds still
-- Complexity: O(answers)
local holder, lease_ms = ARGV[3], ARGV[4]
local FIRST_LEASE = 2

local held = 0
for at = FIRST_LEASE, #KEYS do
  if redis.call('HGET', KEYS[at], 'holder') == holder then held = held + redis.call('PEXPIRE', KEYS[at], lease_ms) end
end
return held
