-- Prolong the leases of answers that are on their way.
-- KEYS: 1 the tenant's queue, then the lease of each answer
-- ARGV: 1 tenant, 2 events kept, 3 name of who leads them, 4 lease (ms)
-- Returns: how many are still led by it
-- Complexity: O(answers)
local held = 0
for at = 2, #KEYS do
  if redis.call('HGET', KEYS[at], 'holder') == ARGV[3] then held = held + redis.call('PEXPIRE', KEYS[at], ARGV[4]) end
end
return held
