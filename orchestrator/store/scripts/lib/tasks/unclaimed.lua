-- The unclaimed entries of a lane. Needs tenant.lua.
local function unclaimed(lane, count)
  local groups = redis.pcall('XINFO', 'GROUPS', lane_key(lane))
  local from = '-'
  for _, group in ipairs(groups.err and {} or groups) do
    local described = {}
    for i = 1, #group, 2 do described[group[i]] = group[i + 1] end
    if described['name'] == GROUP then from = '(' .. described['last-delivered-id'] end
  end
  return redis.call('XRANGE', lane_key(lane), from, '+', 'COUNT', count)
end

-- Return a number of a task's record; nil where there is none, or it can't be read: that is for its claim to tell.
local function number_of(task_id, field)
  local value = redis.pcall('HGET', task_key(task_id), field)
  return type(value) == 'string' and tonumber(value) or nil
end

local function field_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end
