-- The limits of a tenant, and how much of its work is queued. Needs tenant.lua and users.lua.
--!include common/limits

-- How many of the tenant's tasks are in hand, from the groups themselves, so that the figure can't drift.
local function tasks_in_hand()
  local count = 0
  for _, lane in ipairs(LANES) do
    local pending = redis.pcall('XPENDING', lane_key(lane), GROUP)
    if not pending.err then count = count + pending[1] end
  end
  return count
end

local function tasks_in_lanes()
  local length = 0
  for _, lane in ipairs(LANES) do length = length + redis.call('XLEN', lane_key(lane)) end
  return length
end

local function queue_length() return tasks_in_lanes() + tasks_behind_users() end
