-- Read sessions for the consistency check, at one moment.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… session ids
-- Returns: of each session {id, reason} where it can't be read, else {id, state, active task, its status, turns that wait,
--          offset, offset of the newest event or ''}
-- Complexity: O(sessions)
--!include common/tenant
--!include common/isolate
--!include sessions/newest
local FIRST_SESSION = 3

-- Return the status of a task; '' where it has no record, or one of the wrong type.
local function read_status(task_id)
  local status = redis.pcall('HGET', task_key(task_id), 'status')
  return type(status) == 'string' and status or ''
end

local function look_at(session_id)
  local session = session_key(session_id)
  local state, active, offset = unpack(redis.call('HMGET', session, 'state', 'active_task_id', 'offset'))
  return {session_id, state or '', active or '', active and read_status(active) or '',
    redis.call('LLEN', session .. ':turns'), tonumber(offset or 0) or error("the field 'offset' is no number"),
    newest_event(session) or ''}
end

local found = {}
for i = FIRST_SESSION, #ARGV do
  local is_read, row = isolate(look_at, ARGV[i])
  found[#found + 1] = is_read and row or {ARGV[i], row}
end
return found
