-- Compare what budgets hold as reserved with the open calls of the gateway, at one moment, for the consistency check.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3… calls whose records were found
-- Returns: {how many calls are open, ms since the moment at which the first of them had to be looked at,
--          {calls that are open and have no record}, {calls of ARGV that have a record and are not among the open ones},
--          {{period, field, what it holds, what the records add up to} where these differ}}
-- Complexity: O(open calls + models)
--!include common/tenant
--!include common/moments
--!include common/trace
--!include gateway/gateway
--!include gateway/reservations
local open_calls = KEYS[2]
local FIRST_CALL = 3
local DAY_MS = 86400000

local recorded, unrecorded, unwatched = {}, {}, {}
local open = redis.call('ZRANGE', open_calls, 0, -1)
for _, call_id in ipairs(open) do
  table.insert(redis.call('EXISTS', call_key(call_id)) == 1 and recorded or unrecorded, call_id)
end
for at = FIRST_CALL, #ARGV do
  local call_id = ARGV[at]
  if not redis.call('ZSCORE', open_calls, call_id) and redis.call('EXISTS', call_key(call_id)) == 1 then
    unwatched[#unwatched + 1] = call_id
    recorded[#recorded + 1] = call_id
  end
end

local sums = reserved_by(recorded)
-- Budgets of other periods limit nothing any more, unless an open call has begun in them.
local today = string.sub(moment_of(NOW), 1, 10)
local yesterday = string.sub(moment_of(NOW - DAY_MS), 1, 10)
local last_month = string.sub(moment_of(NOW - tonumber(string.sub(today, 9)) * DAY_MS), 1, 7)
for _, period in ipairs({today, yesterday, string.sub(today, 1, 7), last_month}) do
  local name = string.gsub(period, '-', '')
  sums[name] = sums[name] or {}
end

local wrong = {}
for period, sum in pairs(sums) do
  local budget = redis.call('HGETALL', budget_key(period))
  for at = 1, #budget, 2 do
    local field, held = budget[at], tonumber(budget[at + 1]) or 0
    if (field == 'reserved' or string.sub(field, 1, 9) == 'reserved|') and held ~= (sum[field] or 0) then
      wrong[#wrong + 1] = {period, field, held, sum[field] or 0}
    end
    sum[field] = nil
  end
  -- A budget that has expired is not made again by a settlement, nor missed here.
  for field, amount in pairs(#budget > 0 and sum or {}) do wrong[#wrong + 1] = {period, field, 0, amount} end
end
table.sort(wrong, function(one, other) return one[1] .. one[2] < other[1] .. other[2] end)
local first_due = redis.call('ZRANGE', open_calls, 0, 0, 'WITHSCORES')[2]
return {#open, first_due and math.floor(NOW - first_due) or 0, unrecorded, unwatched, wrong}
