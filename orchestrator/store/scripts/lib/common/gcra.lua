-- Rate limits by the generic cell rate algorithm: a key holds the theoretical arrival time, in ms. Needs NOW of tenant.lua.
-- No request puts it further ahead of the clock than a burst, or than its own cost where that is more (a debt). So a time
-- beyond that says that the clock was set back: it is taken as a full burst that lets the next request pass.

-- Return the arrival time from which a request counts; `kept` is what the key holds, or false.
local function arrival_from(kept, key, rate, burst_seconds, cost)
  -- What is no number counts as absent.
  local tat = math.max(tonumber(kept or '') or 0, NOW)
  local most = math.max(burst_seconds, 1 / rate) * 1000
  if tat <= NOW + most + 1 then return tat end
  most = math.max(most, tonumber(redis.call('GET', key .. ':debt') or '') or 0)
  if tat <= NOW + most + 1 then return tat end
  return math.max(NOW, NOW + most - cost * 1000 / rate)
end

local function arrival(key, rate, burst_seconds, cost)
  return arrival_from(redis.call('GET', key), key, rate, burst_seconds, cost)
end

-- Returns the new arrival time; or nil, and how long to wait (ms). It writes nothing, so several limits can be asked first.
local function gcra_from(kept, key, rate, burst_seconds, cost)
  local new = arrival_from(kept, key, rate, burst_seconds, cost) + cost * 1000 / rate
  local allowed_at = new - math.max(burst_seconds, cost / rate) * 1000
  if allowed_at > NOW then return nil, math.ceil(allowed_at - NOW) end
  return new
end

local function gcra(key, rate, burst_seconds, cost)
  return gcra_from(redis.call('GET', key), key, rate, burst_seconds, cost)
end

-- Returns how many requests a limit lets come in its window, and how many are left of them.
local function rate_window(rate, burst_seconds, tat)
  local most = 2 ^ 53
  local window = math.max(1, math.floor(math.min(rate * burst_seconds, most)))
  local left = math.floor(math.min(rate * (burst_seconds - (tat - NOW) / 1000) + 1e-6, most))
  return window, math.max(0, math.min(window, left))
end

-- Of the limits of a tenant and a user, return what the one that is nearer to be reached tells: ms until it is whole, requests
-- in its window, and requests left of them.
local function nearer_limit(burst_seconds, tenant_rate, tenant_tat, user_rate, user_tat)
  local tenant_window, tenant_left = rate_window(tenant_rate, burst_seconds, tenant_tat)
  local user_window, user_left = rate_window(user_rate, burst_seconds, user_tat)
  if tenant_left < user_left then return math.ceil(tenant_tat - NOW), tenant_window, tenant_left end
  return math.ceil(user_tat - NOW), user_window, user_left
end

-- Keep an arrival time; `debt_ms` is what a request costs that is more than a burst.
local function gcra_write(key, tat, debt_ms)
  local left_ms = math.ceil(math.max(1, tat - NOW))
  redis.call('SET', key, tostring(tat), 'PX', left_ms)
  if debt_ms then redis.call('SET', key .. ':debt', tostring(debt_ms), 'PX', left_ms) end
end
