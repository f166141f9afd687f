#!lua flags=allow-oom
-- Settle what was served in the last round, and take out the tenants whose turn is next.
-- A tenant that is taken out is served by one process alone; work that comes in meanwhile marks it as ready again.
-- KEYS: 1 ready tenants by virtual time, 2 virtual times of tenants without work that are ahead of the clock, 3 the clock,
--       4 weights
-- ARGV: 1 how many to take, 2 channel, 3 how many tenants are passed over, then these, then of each settlement: tenant, kind,
--       number, '1' if it has more work.
--       Kind 'at' sets the virtual time that the tenant has reached; 'by' adds a cost, which its weight divides.
-- Returns: tenant, virtual time, weight of each tenant taken
-- Complexity: O((settlements + taken + passed over) · log of ready tenants)
local ready, debts, clock_key, weights = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local wanted, channel, passed = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local FIRST_PASSED = 4
local FIRST_SETTLEMENT = FIRST_PASSED + passed

local passed_over = {}
for i = FIRST_PASSED, FIRST_SETTLEMENT - 1 do passed_over[ARGV[i]] = true end

-- A value that is no number counts as absent: one tenant's odd weight must not keep all from their turns.
-- Nor may a virtual time that nothing could have reached set the clock for all.
local BEYOND = 2 ^ 53
local clock = tonumber(redis.call('GET', clock_key) or 0) or 0
if not (clock < BEYOND) then clock = 0 end

local function weight_of(tenant)
  local weight = tonumber(redis.call('HGET', weights, tenant) or 1) or 1
  return weight > 0 and weight < BEYOND and weight or 1
end

for i = FIRST_SETTLEMENT, #ARGV, 4 do
  local tenant, kind, number, has_more = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3] == '1'
  local waiting = redis.call('ZSCORE', ready, tenant)
  local time = number
  if kind == 'by' then
    local reached = tonumber(waiting or redis.call('ZSCORE', debts, tenant) or clock)
    time = math.max(0, reached + number / weight_of(tenant))
  elseif waiting then
    time = math.max(number, tonumber(waiting))
  end
  if not (time < BEYOND) then time = clock end
  if waiting or has_more then
    redis.call('ZADD', ready, time, tenant)
    redis.call('ZREM', debts, tenant)
    -- The process that gives it back has no room for it: another one may have.
    if not waiting and passed_over[tenant] then redis.call('PUBLISH', channel, tenant) end
  elseif time > clock then
    redis.call('ZADD', debts, time, tenant)
  end
end
local taken = {}
if wanted > 0 then
  local first = redis.call('ZRANGE', ready, 0, wanted + passed - 1, 'WITHSCORES')
  for i = 1, #first, 2 do
    local tenant, time = first[i], first[i + 1]
    if #taken < 3 * wanted and not passed_over[tenant] then
      redis.call('ZREM', ready, tenant)
      taken[#taken + 1] = tenant
      taken[#taken + 1] = time
      taken[#taken + 1] = tostring(weight_of(tenant))
      if tonumber(time) < BEYOND then clock = math.max(clock, tonumber(time)) end
    end
  end
  if #taken > 0 then
    redis.call('SET', clock_key, tostring(clock))
    redis.call('ZREMRANGEBYSCORE', debts, '-inf', clock)
  end
end
return taken
