-- Batches. Needs tenant.lua and queue.lua, which includes it.
-- The items of a batch become tasks with ids `{batch}.{place}`, as many at once as its window holds. The end of an item starts
-- the next one, so items start in their order, and no process has to look for them.
local BATCHES = 'orchestrator:batches:' .. TENANT
local PROGRESS_MS = 250

local function batch_key(id) return 'orchestrator:batch:' .. TENANT .. ':' .. id end

-- Count the items of open batches that are no tasks yet.
local function items_waiting()
  local waiting = 0
  for _, count in ipairs(redis.call('HVALS', BATCHES .. ':waiting')) do waiting = waiting + math.max(0, count) end
  return waiting
end

-- Append how far a batch is to its log.
local function tell_progress(batch_id)
  local batch = batch_key(batch_id)
  redis.call('HSET', batch, 'told_at', NOW)
  local template, completed, failed, cancelled, status, offset, by =
    unpack(redis.call('HMGET', batch, 'progress', 'completed', 'failed', 'cancelled', 'status', 'offset', 'cancelled_by'))
  local body = string.gsub(template, '"@(%l+)"', {
    completed = completed, failed = failed, cancelled = cancelled, status = '"' .. status .. '"',
    message = '"' .. batch_id .. '.p' .. (offset + 1) .. '"', moment = '"' .. moment_of(NOW) .. '"'})
  append_to(batch, batch_id, 'batch.progress', by and told_by(body, by) or body)
end

-- Make the next item of a running batch a task; returns 1, or 0 where none is left.
local function next_item(batch_id)
  local batch = batch_key(batch_id)
  local status, started, total, head, tail, lane, priority, user, correlation, kind, record, scheduled_for =
    unpack(redis.call('HMGET', batch, 'status', 'started', 'total', 'head', 'tail', 'lane', 'priority', 'user_id',
      'correlation_id', 'type', 'item_record', 'scheduled_for'))
  local index = tonumber(started)
  if status ~= 'running' or index >= tonumber(total) then return 0 end
  local task_id = batch_id .. '.' .. index
  local item, message = redis.call('HGET', batch .. ':items', index), nil
  if is_sealed(head) then
    message = COMPOSED .. task_id .. '\n' .. head .. item
  else
    message = string.gsub(head, '@task', task_id) .. item .. tail
  end
  redis.call('HSET', batch, 'started', index + 1)
  redis.call('HINCRBY', BATCHES .. ':waiting', batch_id, -1)
  redis.call('SADD', batch .. ':window', index)
  redis.call('HSET', task_key(task_id), 'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0,
    'lane', lane, 'priority', priority, 'type', kind, 'created_at', NOW, 'user_id', user, 'correlation_id', correlation,
    'batch_id', batch_id)
  if record then redis.call('HSET', task_key(task_id), unpack(cjson.decode(record))) end
  redis.call('ZADD', INDEX, NOW, task_id)
  trace(task_id, correlation, 0, 'accepted', nil, kind)
  if scheduled_for and tonumber(scheduled_for) > NOW then
    redis.call('HSET', task_key(task_id), 'scheduled_for', scheduled_for)
    redis.call('ZADD', DELAYED, scheduled_for, task_id)
  else
    enqueue(task_id)
  end
  return 1
end

-- End a batch once none of its items waits or runs.
local function end_batch(batch_id)
  local batch = batch_key(batch_id)
  local state, started, total, failed, completed, reason, retain =
    unpack(redis.call('HMGET', batch, 'status', 'started', 'total', 'failed', 'completed', 'reason', 'retain'))
  if state ~= 'running' and state ~= 'stopping' then return end
  if state == 'running' and started ~= total then return end
  if redis.call('SCARD', batch .. ':window') > 0 then return end
  local status = 'completed'
  if state == 'stopping' then
    status = reason
  elseif failed == total then
    status = 'failed'
  elseif completed ~= total then
    status = 'partial'
  end
  redis.call('HSET', batch, 'status', status, 'finished_at', NOW)
  redis.call('HDEL', BATCHES .. ':waiting', batch_id)
  tell_progress(batch_id)
  call_back(batch, 'batch_id', batch_id)
  for _, suffix in ipairs({'', ':items', ':results'}) do redis.call('EXPIRE', batch .. suffix, retain) end
end

-- Stop a batch: its waiting items never start, its running ones are asked to stop. The batch ends with `reason` as its status.
-- `by` is who stops it; 'system' where one of its items does.
local function stop_batch(batch_id, reason, by)
  local batch = batch_key(batch_id)
  local status, started, total, retain = unpack(redis.call('HMGET', batch, 'status', 'started', 'total', 'retain'))
  if status ~= 'running' then return end
  redis.call('HSET', batch, 'status', 'stopping', 'reason', reason)
  if reason == 'cancelled' then redis.call('HSET', batch, 'cancelled_by', by) end
  redis.call('HINCRBY', batch, 'cancelled', total - started)
  redis.call('HDEL', BATCHES .. ':waiting', batch_id)
  for _, index in ipairs(redis.call('SMEMBERS', batch .. ':window')) do
    stop_task(batch_id .. '.' .. index, 'cancelled', by, retain)
  end
  end_batch(batch_id)
end

item_ended = function(batch_id, index, task_id, status)
  local batch = batch_key(batch_id)
  if redis.call('SREM', batch .. ':window', index) == 0 then return 0 end
  local attempt, started_at, result, err =
    unpack(redis.call('HMGET', task_key(task_id), 'attempt', 'started_at', 'result', 'error'))
  redis.call('HSET', batch .. ':results', index, '{"status":"' .. status .. '","attempt":' .. attempt .. ',"started_at":' ..
    (started_at or 'null') .. ',"finished_at":' .. NOW .. ',"result":' .. (clear(result) or 'null') .. ',"error":' ..
    (clear(err) or 'null') .. '}')
  -- No JSON can hold what is sealed: it stands beside.
  if is_sealed(result) then redis.call('HSET', batch .. ':results', index .. ':result', result) end
  if is_sealed(err) then redis.call('HSET', batch .. ':results', index .. ':error', err) end
  redis.call('HSET', batch, 'updated_at', NOW)
  redis.call('HINCRBY', batch, (status == 'failed' or status == 'cancelled') and status or 'completed', 1)
  local on_item_error, told_at = unpack(redis.call('HMGET', batch, 'on_item_error', 'told_at'))
  if status == 'failed' and on_item_error == 'abort' then stop_batch(batch_id, 'failed', 'system') end
  local more = next_item(batch_id)
  end_batch(batch_id)
  if redis.call('HEXISTS', batch, 'finished_at') == 1 then return redis.call('HEXISTS', batch, 'callback_task') end
  if NOW - told_at >= PROGRESS_MS then tell_progress(batch_id) end
  return more
end
