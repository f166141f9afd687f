-- Give a claimed entry to a worker; `how` is what its timeline says of it. Needs tenant.lua and queue.lua.
-- Returns {entry, lane, task record, session record}; {entry, lane, its fields} where there is no record: somebody has
-- written it by hand; or nil where there is nothing to do: one whose task has ended is dropped.
local function hand_out(lane, entry, fields, node, how)
  local task_id = nil
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' then task_id = fields[i + 1] end
  end
  local task = task_id and task_key(task_id)
  local record = task and redis.call('HMGET', task, 'status', 'entry', 'session_id', 'correlation_id', 'turn_of_user') or {}
  if not record[1] then return {entry, lane, fields} end
  if record[2] ~= entry or (record[1] ~= 'pending' and record[1] ~= 'processing') then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
    return nil
  end
  local attempt = redis.call('HINCRBY', task, 'attempt', 1)
  redis.call('HSET', task, 'status', 'processing', 'node', node, 'claimed_at', NOW)
  redis.call('HDEL', task, 'emitted')
  if record[5] then leave_user(task_id, record[5]) end
  redis.call('HSETNX', task, 'started_at', NOW)
  trace(task_id, how, {record[4], attempt}, node)
  local session = record[3] and redis.call('HGETALL', session_key(record[3])) or {}
  return {entry, lane, redis.call('HGETALL', task), session}
end
