-- The limits of a tenant: its own, else its tier's, else the service's. Needs tenant.lua.
-- A default comes as store/limit_defaults.py packs it: a number, numbers by tier as JSON, or '' for none; 0 is any number.

-- Return what a field of the configuration says, nil where it is no number that a limit could be: it counts as absent then.
local function configured(value)
  local number = tonumber(value)
  return number and number > 0 and number < math.huge and number or nil
end

-- Return the limit that applies, math.huge where the tenant is unbounded.
-- `own` and `tier` are what the tenant's configuration holds, false or nil where it holds nothing.
local function limit_from(own, default, tier)
  local limit = configured(own) or tonumber(default)
  if not limit and default ~= '' then
    local by_tier = cjson.decode(default)
    limit = by_tier[tier or ''] or by_tier['']
  end
  return limit and limit > 0 and limit or math.huge
end

local function limit_of(name, default)
  local own, tier = unpack(redis.call('HMGET', CONFIG, name, 'tier'))
  return limit_from(own, default, tier)
end
