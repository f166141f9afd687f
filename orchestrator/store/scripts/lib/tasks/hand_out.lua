-- Give a claimed entry to a worker; `how` is what its timeline says of it. Needs tenant.lua and entries.lua.
-- Returns {entry, lane, task record, session record}; {entry, lane, its fields} where there is no record: somebody has
-- written it by hand; or nil where there is nothing to do: one whose task has ended is dropped.
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
  local now = {'status', 'processing', 'attempt', attempt, 'node', node, 'claimed_at', NOW, 'steps', steps}
  if not place.started_at then
    now[#now + 1] = 'started_at'
    now[#now + 1] = NOW
  end
  redis.call('HSET', task, unpack(now))
  if place.emitted then redis.call('HDEL', task, 'emitted') end
  if place.turn_of_user then leave_user(task_id, value('turn_of_user')) end
  trace_again(task_id, value('correlation_id'), value('created_at'))
  for i = 1, #now, 2 do
    local at = place[now[i]]
    if not at then
      at = #flat + 2
      flat[at - 1] = now[i]
    end
    flat[at] = tostring(now[i + 1])
  end
  local session_id = value('session_id')
  return {entry, lane, flat, session_id and redis.call('HGETALL', session_key(session_id)) or {}}
end
