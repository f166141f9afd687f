-- Compare what budgets hold as reserved with the open calls of the gateway, at one moment, for the audit.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3… calls whose records were found
-- Returns: {how many calls are open, ms since the moment at which somebody had to look after the first of them,
--          {calls that are open and have no record}, {calls of ARGV that have a record and are not among the open ones},
--          {{period, field, what it holds, what the records add up to} where these differ}}
-- Complexity: O(open calls + models)
--!include common/tenant
--!include common/moments
--!include common/trace
--!include gateway/gateway
--!include gateway/reservations
local ids, unrecorded, unwatched = {}, {}, {}
local open = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, id in ipairs(open) do
  local known = redis.call('EXISTS', call_key(id)) == 1
  table.insert(known and ids or unrecorded, id)
end
for at = 3, #ARGV do
  local id = ARGV[at]
  if not redis.call('ZSCORE', KEYS[2], id) and redis.call('EXISTS', call_key(id)) == 1 then
    unwatched[#unwatched + 1] = id
    ids[#ids + 1] = id
  end
end

local sums = reserved_by(ids)
-- Budgets of other periods limit nothing any more, unless a call that is open has begun in them.
local today = string.sub(moment_of(NOW), 1, 10)
local yesterday = string.sub(moment_of(NOW - 86400000), 1, 10)
local last_month = string.sub(moment_of(NOW - tonumber(string.sub(today, 9)) * 86400000), 1, 7)
for _, period in ipairs({today, yesterday, string.sub(today, 1, 7), last_month}) do
  local name = string.gsub(period, '-', '')
  sums[name] = sums[name] or {}
end

local wrong = {}
for period, sum in pairs(sums) do
  local budget = redis.call('HGETALL', budget_key(period))
  for at = 1, #budget, 2 do
    local field, held = budget[at], tonumber(budget[at + 1])
    if (field == 'reserved' or string.sub(field, 1, 9) == 'reserved|') and held ~= (sum[field] or 0) then
      wrong[#wrong + 1] = {period, field, held, sum[field] or 0}
    end
    sum[field] = nil
  end
  -- One that has expired is not brought back by a settlement, nor missed here.
  for field, amount in pairs(#budget > 0 and sum or {}) do wrong[#wrong + 1] = {period, field, 0, amount} end
end
table.sort(wrong, function(one, other) return one[1] .. one[2] < other[1] .. other[2] end)
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
return {#open, first and math.floor(NOW - first) or 0, unrecorded, unwatched, wrong}
