-- Assign a claimed entry to a worker; `how` is the step in its timeline. Needs tenant.lua and entries.lua.
-- Returns {entry, lane, task record, session record}; {entry, lane, fields of the entry} where its task has no record: an
-- external entry; or nil where the task has ended, or has another entry: then the entry is dropped.
local function hand_out(lane, entry, fields, node, how)
  local task_id = nil
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' then task_id = fields[i + 1] end
  end
  local task = task_id and task_key(task_id)
  local flat = task and redis.call('HGETALL', task) or {}
  local place = {}
  for i = 1, #flat, 2 do place[flat[i]] = i + 1 end
  local function value(name) return place[name] and flat[place[name]] end
  local status = value('status')
  if not status then return {entry, lane, fields} end
  if value('entry') ~= entry or (status ~= 'pending' and status ~= 'processing') then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
    return nil
  end
  local attempt = string.format('%d', (value('attempt') or 0) + 1)
  local steps = with_step(value('steps'), how, attempt, node)
  local changes = {'status', 'processing', 'attempt', attempt, 'node', node, 'claimed_at', NOW, 'steps', steps}
  if not place.started_at then
    changes[#changes + 1] = 'started_at'
    changes[#changes + 1] = NOW
  end
  redis.call('HSET', task, unpack(changes))
  if place.emitted then redis.call('HDEL', task, 'emitted') end
  if place.turn_of_user then leave_user(task_id, value('turn_of_user')) end
  trace_again(task_id, value('correlation_id'), value('created_at'))
  -- The record is returned as it is now, without a second HGETALL.
  for i = 1, #changes, 2 do
    local at = place[changes[i]]
    if not at then
      at = #flat + 2
      flat[at - 1] = changes[i]
    end
    flat[at] = tostring(changes[i + 1])
  end
  local session_id = value('session_id')
  return {entry, lane, flat, session_id and redis.call('HGETALL', session_key(session_id)) or {}}
end
