-- Append an event to the log of a session, or of another owner, and tell those who follow. Needs tenant.lua.
-- The offset is the owner's own counter, so offsets have no gaps; returns it.
local prolonged = {}

local function write_event(owner, id, epoch, offset, name, body)
  redis.call('XADD', owner .. ':events', 'MAXLEN', '~', LOG_LENGTH, '0-' .. offset, 'e', epoch, 'n', name, 'b', body)
  redis.call('PUBLISH', 'orchestrator:events:' .. TENANT .. ':' .. id, offset .. ' ' .. epoch .. ' ' .. name .. '\n' .. body)
end

local function append_to(owner, id, name, body)
  local epoch = redis.call('HGET', owner, 'epoch')
  if not epoch then return 0 end
  local offset = redis.call('HINCRBY', owner, 'offset', 1)
  local log = owner .. ':events'
  write_event(owner, id, epoch, offset, name, body)
  -- Once a script is enough, however many events it appends.
  if not prolonged[log] then
    redis.call('EXPIRE', log, LOG_SECONDS)
    prolonged[log] = true
  end
  return offset
end

local function append_event(session_id, name, body)
  return append_to(session_key(session_id), session_id, name, body)
end

-- Append to the log of the session whose turn a task is; or to the task's own, and to that of a session that is told, too.
local function append_for(task_id, session_id, name, body)
  if session_id ~= '' then return append_event(session_id, name, body) end
  local told = redis.call('HGET', task_key(task_id), 'of_session')
  if told then append_event(told, name, body) end
  return append_to(task_key(task_id), task_id, name, body)
end
