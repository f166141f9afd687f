-- Read what the audit looks at of some sessions, at one moment.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… session ids
-- Returns: of each session {id, state, active task, its status, turns that wait, offset, offset of the newest event or ''}
-- Complexity: O(sessions)
--!include common/tenant
local found = {}
for i = 3, #ARGV do
  local session = session_key(ARGV[i])
  local record = redis.call('HMGET', session, 'state', 'active_task_id', 'offset')
  local newest = redis.call('XREVRANGE', session .. ':events', '+', '-', 'COUNT', 1)
  found[#found + 1] = {ARGV[i], record[1] or '', record[2] or '',
    record[2] and redis.call('HGET', task_key(record[2]), 'status') or '', redis.call('LLEN', session .. ':turns'),
    tonumber(record[3] or 0), newest[1] and string.match(newest[1][1], '%-(%d+)$') or ''}
end
return found
