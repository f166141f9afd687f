-- Batches. Needs tenant.lua and queue.lua, which includes it.
-- A batch's items become tasks of ids `{batch}.{place}` a few at a time: as many as its window holds. The end of one
-- brings the next, so they start in their order, and nobody looks for them.
local BATCHES = 'orchestrator:batches:' .. TENANT
local PROGRESS_MS = 250

local function batch_key(id) return 'orchestrator:batch:' .. TENANT .. ':' .. id end

-- Tell those who follow a batch how far it is.
local function tell_progress(batch_id)
  local batch = batch_key(batch_id)
  redis.call('HSET', batch, 'told_at', NOW)
  local fields = redis.call('HMGET', batch, 'progress', 'completed', 'failed', 'cancelled', 'status', 'offset')
  local body = string.gsub(fields[1], '"@(%l+)"', {
    completed = fields[2], failed = fields[3], cancelled = fields[4], status = '"' .. fields[5] .. '"',
    message = '"' .. batch_id .. '.p' .. (fields[6] + 1) .. '"', moment = '"' .. moment_of(NOW) .. '"'})
  append_to(batch, batch_id, 'batch.progress', body)
end

-- Make the next item of a running batch a task; returns 1, or 0 where none is left.
local function next_item(batch_id)
  local batch = batch_key(batch_id)
  local fields = redis.call('HMGET', batch, 'status', 'started', 'total', 'head', 'tail', 'lane', 'priority', 'user_id',
    'correlation_id', 'type', 'item_record', 'scheduled_for')
  local index = tonumber(fields[2])
  if fields[1] ~= 'running' or index >= tonumber(fields[3]) then return 0 end
  local task_id = batch_id .. '.' .. index
  local message = string.gsub(fields[4], '@task', task_id) .. redis.call('HGET', batch .. ':items', index) .. fields[5]
  redis.call('HSET', batch, 'started', index + 1)
  redis.call('HINCRBY', BATCHES .. ':waiting', batch_id, -1)
  redis.call('SADD', batch .. ':window', index)
  redis.call('HSET', task_key(task_id), 'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0,
    'lane', fields[6], 'priority', fields[7], 'type', fields[10], 'created_at', NOW, 'user_id', fields[8],
    'correlation_id', fields[9], 'batch_id', batch_id)
  if fields[11] then redis.call('HSET', task_key(task_id), unpack(cjson.decode(fields[11]))) end
  redis.call('ZADD', INDEX, NOW, task_id)
  trace(task_id, 'accepted', {fields[9], 0}, nil, fields[10])
  if fields[12] and tonumber(fields[12]) > NOW then
    redis.call('HSET', task_key(task_id), 'scheduled_for', fields[12])
    redis.call('ZADD', DELAYED, fields[12], task_id)
  else
    enqueue(task_id)
  end
  return 1
end

-- End a batch once nothing of it waits or runs.
local function end_batch(batch_id)
  local batch = batch_key(batch_id)
  local fields = redis.call('HMGET', batch, 'status', 'started', 'total', 'failed', 'completed', 'reason', 'retain')
  if fields[1] ~= 'running' and fields[1] ~= 'stopping' then return end
  if fields[1] == 'running' and fields[2] ~= fields[3] then return end
  if redis.call('SCARD', batch .. ':window') > 0 then return end
  local status = 'completed'
  if fields[1] == 'stopping' then
    status = fields[6]
  elseif fields[4] == fields[3] then
    status = 'failed'
  elseif fields[5] ~= fields[3] then
    status = 'partial'
  end
  redis.call('HSET', batch, 'status', status, 'finished_at', NOW)
  redis.call('HDEL', BATCHES .. ':waiting', batch_id)
  tell_progress(batch_id)
  call_back(batch, 'batch_id', batch_id)
  for _, suffix in ipairs({'', ':items', ':results'}) do redis.call('EXPIRE', batch .. suffix, fields[7]) end
end

-- Stop a batch: what has not started never will, what runs is asked to stop. It ends as `reason` says.
local function stop_batch(batch_id, reason)
  local batch = batch_key(batch_id)
  local fields = redis.call('HMGET', batch, 'status', 'started', 'total', 'retain')
  if fields[1] ~= 'running' then return end
  redis.call('HSET', batch, 'status', 'stopping', 'reason', reason)
  redis.call('HINCRBY', batch, 'cancelled', fields[3] - fields[2])
  redis.call('HDEL', BATCHES .. ':waiting', batch_id)
  for _, index in ipairs(redis.call('SMEMBERS', batch .. ':window')) do
    stop_task(batch_id .. '.' .. index, 'cancelled', fields[4])
  end
  end_batch(batch_id)
end

item_ended = function(batch_id, index, task_id, status)
  local batch = batch_key(batch_id)
  if redis.call('SREM', batch .. ':window', index) == 0 then return 0 end
  local task = redis.call('HMGET', task_key(task_id), 'attempt', 'started_at', 'result', 'error')
  redis.call('HSET', batch .. ':results', index, '{"status":"' .. status .. '","attempt":' .. task[1] .. ',"started_at":' ..
    (task[2] or 'null') .. ',"finished_at":' .. NOW .. ',"result":' .. (task[3] or 'null') .. ',"error":' ..
    (task[4] or 'null') .. '}')
  redis.call('HINCRBY', batch, (status == 'failed' or status == 'cancelled') and status or 'completed', 1)
  local fields = redis.call('HMGET', batch, 'on_item_error', 'told_at')
  if status == 'failed' and fields[1] == 'abort' then stop_batch(batch_id, 'failed') end
  local more = next_item(batch_id)
  end_batch(batch_id)
  if redis.call('HEXISTS', batch, 'finished_at') == 1 then return redis.call('HEXISTS', batch, 'callback_task') end
  if NOW - fields[2] >= PROGRESS_MS then tell_progress(batch_id) end
  return more
end
