-- Mend a violation among the reservations of a tenant, if it is still there.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 'drop_call', 'watch_call' or 'sum', 4 call, or period of a budget,
--       5 field of the budget, 6 how much more it held than the open calls add up to
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(open calls)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
--!include gateway/reservations
local open_calls = KEYS[2]
local mend, subject, field, excess = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if mend == 'sum' then
  local budget = budget_key(subject)
  if redis.call('EXISTS', budget) == 0 then return 0 end
  local sum = (reserved_by(redis.call('ZRANGE', open_calls, 0, -1))[subject] or {})[field] or 0
  -- Calls that begin and end meanwhile change both; the excess stays as it is.
  if tonumber(redis.call('HGET', budget, field) or 0) - sum ~= tonumber(excess) then return 0 end
  redis.call('HSET', budget, field, string.format('%d', sum))
  return 1
end
local left_ms = redis.call('PTTL', call_key(subject))
local is_recorded = left_ms ~= -2
if mend == 'drop_call' then return is_recorded and 0 or redis.call('ZREM', open_calls, subject) end
if not is_recorded then return 0 end
local added = redis.call('ZADD', open_calls, 'NX', NOW, subject)
-- The set lives as long as the last of its calls.
if redis.call('PTTL', open_calls) < left_ms then redis.call('PEXPIRE', open_calls, left_ms) end
return added
