-- The limits of a tenant: its own, else its tier's, else the service's. Needs tenant.lua.
-- Defaults come as store/limit_defaults.py packs them: a number, numbers by tier as JSON, or '' for none; 0 is any number.
-- Returns the limit that applies, math.huge where the tenant is unbounded.
-- own, tier: what the tenant's configuration holds, false or nil where it holds nothing
local function limit_from(own, default, tier)
  local limit = tonumber(own) or tonumber(default)
  if not limit and default ~= '' then
    local by_tier = cjson.decode(default)
    limit = by_tier[tier or ''] or by_tier['']
  end
  return limit and limit > 0 and limit or math.huge
end

local function limit_of(name, default)
  local own = redis.call('HMGET', CONFIG, name, 'tier')
  return limit_from(own[1], default, own[2])
end
