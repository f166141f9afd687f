-- Mend what the audit found of the reservations of a tenant, if it is still so.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 'drop_call', 'watch_call' or 'sum', 4 call, or period of a budget,
--       5 field of the budget, 6 how much more it held than the open calls add up to
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(open calls)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
--!include gateway/reservations
local mend, subject, field = ARGV[3], ARGV[4], ARGV[5]
if mend == 'sum' then
  local budget = budget_key(subject)
  if redis.call('EXISTS', budget) == 0 then return 0 end
  local sum = (reserved_by(redis.call('ZRANGE', KEYS[2], 0, -1))[subject] or {})[field] or 0
  -- Calls begin and end meanwhile, and change both; a fault stays as large as it is.
  if tonumber(redis.call('HGET', budget, field) or 0) - sum ~= tonumber(ARGV[6]) then return 0 end
  redis.call('HSET', budget, field, string.format('%d', sum))
  return 1
end
local left = redis.call('PTTL', call_key(subject))
local known = left ~= -2
if mend == 'drop_call' then return known and 0 or redis.call('ZREM', KEYS[2], subject) end
if not known then return 0 end
local added = redis.call('ZADD', KEYS[2], 'NX', NOW, subject)
-- The set lives as long as the last of its calls.
if redis.call('PTTL', KEYS[2]) < left then redis.call('PEXPIRE', KEYS[2], left) end
return added
