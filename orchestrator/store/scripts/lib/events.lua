-- Append an event to a session's log and tell those who follow. Needs tenant.lua.
-- The offset is the session's own counter, so offsets have no gaps; returns it.
local function append_event(session_id, name, body)
  local session = session_key(session_id)
  local epoch = redis.call('HGET', session, 'epoch')
  if not epoch then return 0 end
  local offset = redis.call('HINCRBY', session, 'offset', 1)
  local log = session .. ':events'
  redis.call('XADD', log, 'MAXLEN', '~', LOG_LENGTH, '0-' .. offset, 'e', epoch, 'n', name, 'b', body)
  redis.call('EXPIRE', log, LOG_SECONDS)
  redis.call('PUBLISH', 'orchestrator:events:' .. TENANT .. ':' .. session_id,
    offset .. ' ' .. epoch .. ' ' .. name .. '\n' .. body)
  return offset
end
