-- Tasks that a drain has parked, in the order in which they were queued. Needs tenant.lua.
local PARKED = QUEUE .. ':parked'

-- Drop a task from the parked ones, if it is there.
local function unpark(task_id)
  local entry = redis.call('HGET', task_key(task_id), 'parked')
  if entry then
    redis.call('XDEL', PARKED, entry)
    redis.call('HDEL', task_key(task_id), 'parked')
  end
end
