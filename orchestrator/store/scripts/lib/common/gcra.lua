-- Rate limits by the generic cell rate algorithm: a key holds the theoretical arrival time, in ms. Needs NOW of tenant.lua.
-- Returns the new arrival time; or nil, and how long to wait (ms). It writes nothing, so several limits can be asked first.
local function gcra(key, rate, burst_seconds, cost)
  local tat = math.max(tonumber(redis.call('GET', key) or 0), NOW)
  local new = tat + cost * 1000 / rate
  local allowed_at = new - math.max(burst_seconds, cost / rate) * 1000
  if allowed_at > NOW then return nil, math.ceil(allowed_at - NOW) end
  return new
end

local function gcra_write(key, tat)
  redis.call('SET', key, tostring(tat), 'PX', math.ceil(math.max(1, tat - NOW)))
end
