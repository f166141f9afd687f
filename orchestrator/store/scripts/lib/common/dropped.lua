-- What was dropped because a list was full, until a process tells of it. Needs tenant.lua.
local DROPPED = 'orchestrator:dropped:' .. TENANT
local DROPPED_SECONDS = 30 * 86400

local function note_dropped(kind, count)
  redis.call('HINCRBY', DROPPED, kind, count)
  redis.call('EXPIRE', DROPPED, DROPPED_SECONDS)
end
