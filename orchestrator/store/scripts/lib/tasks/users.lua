-- Fair shares between the users of a tenant. Needs tenant.lua.
-- One task of each user is in the lanes, the others wait in the user's own list; the claim of the one puts the next into its
-- lane. A task in either place has `turn_of_user`. USERS names the task of each user that is in the lanes, and under '' how
-- many wait in lists.
local USERS = QUEUE .. ':users'
local users_moved_up = false

local function user_list(user) return QUEUE .. ':user:' .. user end

-- Append a task to its lane. Whatever is wrong with its record, the entry is appended: the claim says what is wrong.
local function put_into_lane(task_id)
  local record = redis.pcall('HMGET', task_key(task_id), 'lane', 'message')
  local lane, message = unpack(record.err and {} or record)
  if lane ~= 'high' and lane ~= 'low' then lane = 'normal' end
  local entry = redis.call('XADD', lane_key(lane), '*', 'task_id', task_id, 'message', message or '')
  redis.pcall('HSET', task_key(task_id), 'status', 'pending', 'entry', entry)
end

-- Take the user's turn for a task, or append the task to the user's list; returns whether it waits there.
local function waits_for_user(task_id, user)
  local task = task_key(task_id)
  local first = redis.call('HGET', USERS, user)
  redis.call('HSET', task, 'turn_of_user', user)
  if first and first ~= task_id then
    redis.call('RPUSH', user_list(user), task_id)
    redis.call('HINCRBY', USERS, '', 1)
    redis.call('HSET', task, 'status', 'pending')
    return true
  end
  redis.call('HSET', USERS, user, task_id)
  return false
end

-- End a task's turn of its user, because it was claimed or stopped: if it was the one in the lanes, the next one takes its
-- place.
local function leave_user(task_id, user)
--!rare
  redis.call('HDEL', task_key(task_id), 'turn_of_user')
  if redis.call('HGET', USERS, user) ~= task_id then
    local removed = redis.call('LREM', user_list(user), 1, task_id)
    if removed > 0 then redis.call('HINCRBY', USERS, '', -removed) end
    return
  end
  local following = redis.call('LPOP', user_list(user))
  if not following then
    redis.call('HDEL', USERS, user)
    return
  end
  redis.call('HINCRBY', USERS, '', -1)
  redis.call('HSET', USERS, user, following)
  put_into_lane(following)
  users_moved_up = true
end

local function tasks_behind_users() return tonumber(redis.call('HGET', USERS, '') or 0) or 0 end
