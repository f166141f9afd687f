-- Settle what was served in the last round, and take the tenants out whose turn is next.
-- A tenant that is taken out is served by one process alone; work that comes in meanwhile puts it back by itself.
-- KEYS: 1 ready tenants by virtual time, 2 virtual times of tenants without work that are ahead of the clock, 3 the clock,
--       4 weights
-- ARGV: 1 how many to take, then of each settlement: tenant, kind, number, '1' if it has more work.
--       Kind 'at' sets the virtual time that the tenant has reached; 'by' adds a cost, which its weight divides.
-- Returns: tenant, virtual time, weight of each tenant taken
-- Complexity: O((settlements + taken) · log of ready tenants)
local clock = tonumber(redis.call('GET', KEYS[3]) or 0)
for i = 2, #ARGV, 4 do
  local tenant, number = ARGV[i], tonumber(ARGV[i + 2])
  local waiting = redis.call('ZSCORE', KEYS[1], tenant)
  local time = number
  if ARGV[i + 1] == 'by' then
    time = math.max(0, tonumber(waiting or redis.call('ZSCORE', KEYS[2], tenant) or clock) + number / tonumber(redis.call('HGET', KEYS[4], tenant) or 1))
  elseif waiting then
    time = math.max(number, tonumber(waiting))
  end
  if waiting or ARGV[i + 3] == '1' then
    redis.call('ZADD', KEYS[1], time, tenant)
    redis.call('ZREM', KEYS[2], tenant)
  elseif time > clock then
    redis.call('ZADD', KEYS[2], time, tenant)
  end
end
local taken = {}
local wanted = tonumber(ARGV[1])
if wanted > 0 then
  local popped = redis.call('ZPOPMIN', KEYS[1], wanted)
  for i = 1, #popped, 2 do
    taken[#taken + 1] = popped[i]
    taken[#taken + 1] = popped[i + 1]
    taken[#taken + 1] = redis.call('HGET', KEYS[4], popped[i]) or '1'
    clock = math.max(clock, tonumber(popped[i + 1]))
  end
  if #popped > 0 then
    redis.call('SET', KEYS[3], tostring(clock))
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', clock)
  end
end
return taken
