-- What open calls of the gateway have reserved, added up anew. Needs tenant.lua and gateway.lua.

-- Add up the estimates of calls, each named once: by the period (a day, a month) and by the field of its budget.
local function reserved_by(ids)
  local sums = {}
  for _, id in ipairs(ids) do
    local call = redis.call('HMGET', call_key(id), 'day', 'month', 'estimate', 'model')
    for at = 1, call[1] and 2 or 0 do
      local sum = sums[call[at]] or {}
      for _, field in ipairs({'reserved', 'reserved|' .. (call[4] or '')}) do
        sum[field] = (sum[field] or 0) + tonumber(call[3] or 0)
      end
      sums[call[at]] = sum
    end
  end
  return sums
end
