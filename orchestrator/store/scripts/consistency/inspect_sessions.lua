-- Read sessions for the consistency check, at one moment.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… session ids
-- Returns: of each session {id, state, active task, its status, turns that wait, offset, offset of the newest event or ''}
-- Complexity: O(sessions)
--!include common/tenant
local FIRST_SESSION = 3

local found = {}
for i = FIRST_SESSION, #ARGV do
  local session_id = ARGV[i]
  local session = session_key(session_id)
  local state, active, offset = unpack(redis.call('HMGET', session, 'state', 'active_task_id', 'offset'))
  local newest = redis.call('XREVRANGE', session .. ':events', '+', '-', 'COUNT', 1)[1]
  found[#found + 1] = {session_id, state or '', active or '', active and redis.call('HGET', task_key(active), 'status') or '',
    redis.call('LLEN', session .. ':turns'), tonumber(offset or 0), newest and string.match(newest[1], '%-(%d+)$') or ''}
end
return found
