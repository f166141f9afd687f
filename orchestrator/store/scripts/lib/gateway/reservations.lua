-- Sums of what open calls of the gateway have reserved. Needs tenant.lua and gateway.lua.

-- Add up the estimates of calls, of which each id stands once: by period (a day, a month), then by field of its budget.
local function reserved_by(ids)
  local sums = {}
  for _, id in ipairs(ids) do
    local day, month, estimate, model = unpack(redis.call('HMGET', call_key(id), 'day', 'month', 'estimate', 'model'))
    for _, period in ipairs(day and {day, month} or {}) do
      local sum = sums[period] or {}
      for _, field in ipairs({'reserved', 'reserved|' .. (model or '')}) do
        sum[field] = (sum[field] or 0) + tonumber(estimate or 0)
      end
      sums[period] = sum
    end
  end
  return sums
end
