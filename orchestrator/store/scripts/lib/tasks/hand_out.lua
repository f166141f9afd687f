-- Assign a claimed entry to a worker; `how` is the step in its timeline. Needs tenant.lua and entries.lua.
-- Returns {entry, lane, task record, session record, task}; {entry, lane, fields of the entry} where its task has no record, or
-- is in another place: an external entry; {entry, lane, fields, reason} where its record can't be read; or nil where the task
-- has ended: then the entry is dropped, unless it has a message of its own, as external entries have.
local OTHER_FIELDS = 5
local LIVE = {pending = true, processing = true, retrying = true, waiting = true}
local ENDED = {completed = true, failed = true, cancelled = true, partial = true}

-- Return what is read of an entry that was written by hand, and may be of any width: task, message and the first other names.
local function named_fields(fields)
  local found, others = {}, 0
  for i = 1, #fields, 2 do
    local name = fields[i]
    local is_known = name == 'task_id' or name == 'message'
    if not is_known then others = others + 1 end
    if is_known or others <= OTHER_FIELDS then
      found[#found + 1] = name
      found[#found + 1] = is_known and fields[i + 1] or ''
    end
  end
  return found
end

-- Tell whether a task is anywhere else than at this entry.
local function is_elsewhere(task_id, value)
  local session_id, lane, entry = value('session_id'), value('lane'), value('entry')
  local found = lane and entry and redis.pcall('XRANGE', lane_key(lane), entry, entry)
  if found and not found.err and #found > 0 then return true end
  return value('turn_of_user') or value('parked') or redis.call('ZSCORE', DELAYED, task_id) or
    (session_id and redis.call('LPOS', session_key(session_id) .. ':turns', task_id))
end

local function hand_out_task(lane, entry, task_id, has_message, node, how)
  local task = task_id and task_key(task_id)
  local flat = task and redis.call('HGETALL', task) or {}
  local place = {}
  for i = 1, #flat, 2 do place[flat[i]] = i + 1 end
  local function value(name) return place[name] and flat[place[name]] end
  local status = value('status')
  if #flat == 0 then return 'external' end
  if not LIVE[status] and not ENDED[status] then error("the field 'status' says " .. tostring(status)) end
  -- A record that names no entry, or one that is not there, is of this one.
  local is_ours = value('entry') == entry or (LIVE[status] and not is_elsewhere(task_id, value))
  if not is_ours and (LIVE[status] or has_message) then return 'external' end
  if not is_ours or (status ~= 'pending' and status ~= 'processing') then
    redis.call('XACK', lane_key(lane), GROUP, entry)
    redis.call('XDEL', lane_key(lane), entry)
    return nil
  end
  local attempt = string.format('%d', (value('attempt') or 0) + 1)
  local steps = with_step(value('steps'), how, attempt, node)
  local changes = {'status', 'processing', 'attempt', attempt, 'node', node, 'claimed_at', NOW, 'steps', steps}
  if value('entry') ~= entry or value('lane') ~= lane then
    for _, part in ipairs({'entry', entry, 'lane', lane}) do changes[#changes + 1] = part end
  end
  if not place.task_id then
    changes[#changes + 1] = 'task_id'
    changes[#changes + 1] = task_id
  end
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
  return {entry, lane, flat, session_id and redis.call('HGETALL', session_key(session_id)) or {}, task_id}
end

local function hand_out(lane, entry, fields, node, how)
  local task_id, has_message = nil, false
  for i = 1, #fields, 2 do
    if fields[i] == 'task_id' then task_id = fields[i + 1] end
    if fields[i] == 'message' then has_message = true end
  end
  local is_read, found = isolate(hand_out_task, lane, entry, task_id, has_message, node, how)
  if not is_read then return {entry, lane, named_fields(fields), found} end
  if found == 'external' then return {entry, lane, named_fields(fields)} end
  return found
end
