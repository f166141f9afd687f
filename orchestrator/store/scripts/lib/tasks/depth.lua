-- How much of a tenant's work is queued, and how much of it runs. Needs tenant.lua and users.lua.

-- Count the tenant's running tasks from the consumer groups themselves, so that the figure can't drift.
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
