-- Show the turns of a session that have not ended: the active one first, then those that wait for it, in their order.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 how many turns at most
-- Returns: {the offset before the active turn's first event, or '', what the active turn has streamed so far, or '', the calls that
--          it waits for (JSON), or '', {task, status, message (JSON)}…}
-- Complexity: O(turns returned)
--!include common/tenant
local session_id, count = ARGV[3], tonumber(ARGV[4])

local session = session_key(session_id)
local active = redis.call('HGET', session, 'active_task_id')
if not active then return {'', '', ''} end
-- A turn that can't be read is told where it is claimed; the others are shown.
local function read(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and reply.err and {} or reply
end
local log_from, waiting_for = unpack(read('HMGET', task_key(active), 'log_from', 'waiting_for'))
local text = read('GET', task_key(active) .. ':text')
local shown = {log_from or '', type(text) == 'string' and text or '', waiting_for or ''}
local waiting = redis.call('LRANGE', session .. ':turns', 0, count - 2)
table.insert(waiting, 1, active)
for _, task_id in ipairs(waiting) do
  local status, message = unpack(read('HMGET', task_key(task_id), 'status', 'message'))
  if message then shown[#shown + 1] = {task_id, status, message} end
end
return shown
