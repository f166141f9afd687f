-- Read everything that there is of some tasks at one moment, for the audit.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… task ids
-- Returns: of each task {id, status, lane, entry, node, session, 1 if the entry is there, who has claimed it, 1 if it is
--          delayed, times it waits for its session's turn, 1 if it is put aside, state of the session, its active task, 1 if
--          it is indexed, 1 if it waits behind others of its user}
-- Complexity: O(tasks · turns waiting in their sessions, and tasks of their users)
--!include common/tenant
--!include tasks/users
--!include tasks/parked
local found = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local record = redis.call('HMGET', task_key(id), 'status', 'lane', 'entry', 'node', 'session_id', 'parked', 'turn_of_user')
  local there, consumer = 0, ''
  if record[2] and record[3] then
    local lane = lane_key(record[2])
    if #redis.call('XRANGE', lane, record[3], record[3]) > 0 then
      there = 1
      local pending = redis.pcall('XPENDING', lane, GROUP, record[3], record[3], 1)
      if not pending.err and pending[1] then consumer = pending[1][2] end
    end
  end
  local is_parked = record[6] and #redis.call('XRANGE', PARKED, record[6], record[6]) > 0
  local behind = record[7] and there == 0 and redis.call('LPOS', user_list(record[7]), id)
  local turns, session = 0, {}
  if record[5] then
    turns = #redis.call('LPOS', session_key(record[5]) .. ':turns', id, 'COUNT', 0)
    session = redis.call('HMGET', session_key(record[5]), 'state', 'active_task_id')
  end
  found[#found + 1] = {id, record[1] or '', record[2] or '', record[3] or '', record[4] or '', record[5] or '', there,
    consumer, redis.call('ZSCORE', DELAYED, id) and 1 or 0, turns, is_parked and 1 or 0, session[1] or '',
    session[2] or '', redis.call('ZSCORE', INDEX, id) and 1 or 0, behind and 1 or 0}
end
return found
