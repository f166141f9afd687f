-- The tenant's queue. Needs tenant.lua.
--!include trace
--!include users
--!include parking

-- Put a task's message into its lane, where any process may claim it; where users share fairly, behind its user's others.
local function enqueue(task_id)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'lane', 'message', 'user_id')
  if fields[3] and redis.call('HGET', CONFIG, 'fair_users') == '1' and waits_for_user(task_id, fields[3]) then return end
  put_into_lane(task_id, fields[1], fields[2])
end

local function leave_lane(task_id, lane, entry, user)
  if user then leave_user(task_id, user) end
  if entry then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
  end
end

-- Take a task's entry out of its lane: acknowledged and deleted together, so streams hold only live work.
local function dequeue(task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'lane', 'entry', 'turn_of_user')
  leave_lane(task_id, unpack(fields, 1, 3))
  if fields[2] then redis.call('HDEL', task_key(task_id), 'entry') end
end

--!include ends

-- The fence: only the holder of the current attempt may write.
local function holds(task_id, attempt)
  local fields = redis.call('HMGET', task_key(task_id), 'attempt', 'status')
  return fields[1] == attempt and fields[2] == 'processing'
end

-- The fence, and out of the lane, for a task that is concluded next; returns whether the attempt is the current one.
local function take_out(task_id, attempt)
  local fields = redis.call('HMGET', task_key(task_id), 'attempt', 'status', 'lane', 'entry', 'turn_of_user')
  if fields[1] ~= attempt or fields[2] ~= 'processing' then return false end
  leave_lane(task_id, unpack(fields, 3, 5))
  return true
end

--!include delegations

-- What the end of a batch's item means for its batch; lib/batches.lua says it.
local item_ended

-- Close a task's record; further arguments are field, value of it. Returns 1 if another item of its batch, its callback,
-- or what tells its services became claimable.
local function conclude(task_id, status, retain_seconds, ...)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'correlation_id', 'attempt', 'node', 'epoch', 'callback_ends', 'delegations',
    'steps', 'created_at')
  redis.call('HSET', task, 'status', status, 'finished_at', NOW,
    'steps', with_step(fields[7], 'finished', fields[2], fields[3], status), ...)
  redis.call('HDEL', task, 'entry', 'node')
  redis.call('EXPIRE', task, retain_seconds)
  if fields[4] then redis.call('EXPIRE', task .. ':events', retain_seconds) end
  trace_again(task_id, fields[1], fields[8])
  -- Records that have gone leave the index, some with each task that ends; once in a while is enough.
  if NOW % 16 == 0 then redis.call('ZREMRANGEBYSCORE', INDEX, '-inf', NOW - retain_seconds * 1000) end
  -- Of all ids those of items alone have a dot: the batch's before it, the item's place behind it.
  local batch_id, index = string.match(task_id, '^(.+)%.(%d+)$')
  local more = fields[6] and tonumber(fields[6]) > 0 and call_off(task_id) or 0
  if batch_id then return math.max(more, item_ended(batch_id, index, task_id, status)) end
  return math.max(more, call_back_task(task_id, status, fields[5]))
end

-- Stop a task: one that has not started, or that waits, ends at once; one that runs is asked to, by the channel that
-- every process listens to. Returns 'done', 'asked' or 'ended' (it had ended before), and what `conclude` does.
local function stop_task(task_id, reason, retain_seconds)
  local task = task_key(task_id)
  local status = redis.call('HGET', task, 'status')
  if status == 'processing' then
    redis.call('HSET', task, 'cancel', reason)
    redis.call('PUBLISH', 'orchestrator:cancel', task_id)
    trace_step(task_id, 'cancel_asked', nil, reason)
    return 'asked', 0
  elseif status == 'pending' or status == 'waiting' or status == 'retrying' then
    dequeue(task_id)
    redis.call('ZREM', DELAYED, task_id)
    unpark(task_id)
    redis.call('HSET', task, 'cancel', reason)
    tell_end(task_id, 'cancelled')
    return 'done', conclude(task_id, 'cancelled', retain_seconds)
  end
  return 'ended', 0
end

--!include batches

-- When a session's active task has ended, the next waiting one becomes claimable; returns its id, or nil.
local function next_turn(session_id)
  local session = session_key(session_id)
  local task_id = redis.call('LPOP', session .. ':turns')
  if task_id then
    redis.call('HSET', session, 'active_task_id', task_id)
    enqueue(task_id)
    trace_step(task_id, 'its_turn')
  else
    redis.call('HDEL', session, 'active_task_id')
  end
  return task_id
end
