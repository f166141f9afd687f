-- Users of a tenant that share fairly. Needs tenant.lua.
-- One task of each user is in the lanes, the others wait in the user's own list; the claim of the one puts the next into
-- its lane. A task in either place has `turn_of_user`; USERS names each user's task in the lanes, and under '' how many wait.
local USERS = QUEUE .. ':users'
local users_moved_up = false

local function user_list(user) return QUEUE .. ':user:' .. user end

local function put_into_lane(task_id, lane, message)
  local entry = redis.call('XADD', lane_key(lane), '*', 'task_id', task_id, 'message', message)
  redis.call('HSET', task_key(task_id), 'status', 'pending', 'entry', entry)
end

-- Take the user's turn for a task, or let it wait; returns whether it waits.
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

-- A task was claimed, or is no longer wanted: if it was in the lanes, the user's next one comes there.
local function leave_user(task_id, user)
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
  local fields = redis.call('HMGET', task_key(following), 'lane', 'message')
  put_into_lane(following, fields[1], fields[2])
  users_moved_up = true
end

local function tasks_behind_users() return tonumber(redis.call('HGET', USERS, '') or 0) end
