-- The tenant's queue. Needs tenant.lua.
--!include common/sealed
--!include tasks/entries
--!include tasks/parked
--!include tasks/ends
--!include tasks/delegations

-- What the end of an item means for its batch. batches.lua defines it: batches end tasks, and tasks end batches.
local item_ended

-- Do what the end of a task brings, beside what its record says: the next item of its batch, its callback, the task that calls
-- off its delegations. What is wrong with the record of one of them does not hold up this end. Returns 1 if one of them became
-- claimable, else 0.
local function after_end(task_id, status, callback_ends, delegations)
  -- Of all ids only those of items have a dot: the batch's id before it, the item's place behind it.
  local batch_id, index = string.match(task_id, '^(.+)%.(%d+)$')
  local _, called_off = isolate(function()
    return delegations and tonumber(delegations) > 0 and call_off(task_id) or 0
  end)
  local _, more
  if batch_id then
    _, more = isolate(item_ended, batch_id, index, task_id, status)
  else
    _, more = isolate(call_back_task, task_id, status, callback_ends)
  end
  return (called_off == 1 or more == 1) and 1 or 0
end

-- End a task that is in no lane any more; further arguments are pairs of field and value for its record. Returns what
-- `after_end` does.
local function conclude(task_id, status, retain_seconds, ...)
  local correlation, attempt, node, epoch, steps, created_at, callback_ends, delegations =
    unpack(redis.call('HMGET', task_key(task_id), 'correlation_id', 'attempt', 'node', 'epoch', 'steps', 'created_at',
      'callback_ends', 'delegations'))
  local record = {
    correlation = correlation, attempt = attempt, node = node, epoch = epoch, steps = steps, created_at = created_at}
  close(task_id, status, retain_seconds, record, ...)
  redis.call('DEL', task_key(task_id) .. ':text')
  return after_end(task_id, status, callback_ends, delegations)
end

-- Return by whom something of `owner` is stopped where `user` asks for it: others than its owner see the whole tenant.
local function stopped_by(owner, user) return owner == user and 'user' or 'operator' end

-- Stop a task: one that waits, in a lane or for an answer, ends at once; one that runs is asked to stop by the channel that
-- every process listens to. Of those who stop it (`by`: 'user', 'operator', 'system') the first one is kept. Returns 'done',
-- 'asked' or 'ended' (it had ended before), and what `conclude` does.
local function stop_task(task_id, reason, by, retain_seconds)
  local task = task_key(task_id)
  local status = redis.call('HGET', task, 'status')
  if status == 'processing' then
    redis.call('HSET', task, 'cancel', reason)
    redis.call('HSETNX', task, 'cancelled_by', by)
    redis.call('PUBLISH', 'orchestrator:cancel', task_id)
    trace_step(task_id, 'cancel_asked', nil, reason .. ' by ' .. by)
    return 'asked', 0
  elseif status == 'pending' or status == 'waiting' or status == 'retrying' then
    dequeue(task_id)
    redis.call('ZREM', DELAYED, task_id)
    unpark(task_id)
    redis.call('HSET', task, 'cancel', reason, 'cancelled_by', by)
    tell_end(task_id, 'cancelled', by)
    return 'done', conclude(task_id, 'cancelled', retain_seconds)
  end
  return 'ended', 0
end

--!include tasks/batches
