-- The schedules of a tenant. Needs tenant.lua.
local SCHEDULES = 'orchestrator:schedules:' .. TENANT
local SCHEDULES_DUE = SCHEDULES .. ':due'

local function schedule_key(id) return 'orchestrator:schedule:' .. TENANT .. ':' .. id end

-- Set the moment (ms) of the next run; '' where there is none.
local function set_next(id, moment)
  if moment == '' then
    redis.call('HDEL', schedule_key(id), 'next_at')
    redis.call('ZREM', SCHEDULES_DUE, id)
  else
    redis.call('HSET', schedule_key(id), 'next_at', moment)
    redis.call('ZADD', SCHEDULES_DUE, moment, id)
  end
end
