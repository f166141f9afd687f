-- What a drain has put aside, in the order in which it was queued. Needs tenant.lua.
local PARKED = QUEUE .. ':parked'

-- A task is no longer wanted, wherever it is.
local function unpark(task_id)
  local entry = redis.call('HGET', task_key(task_id), 'parked')
  if entry then
    redis.call('XDEL', PARKED, entry)
    redis.call('HDEL', task_key(task_id), 'parked')
  end
end
