-- Read tasks and every place that they may be in for the consistency check, at one moment.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… task ids
-- Returns: of each task {id, reason} where it can't be read, else {id, status, lane, entry, node, session, 1 if the entry is
--          there, the consumer that has claimed it, 1 if it is delayed, times it waits for its session's turn, 1 if it is
--          parked, state of the session, its active task, 1 if it is indexed, 1 if it waits behind others of its user}
-- Complexity: O(tasks · turns waiting in their sessions, and tasks of their users)
--!include common/tenant
--!include common/isolate
--!include tasks/users
--!include tasks/parked
local FIRST_TASK = 3

local function look_at(task_id)
  local status, lane, entry, node, session_id, parked, turn_of_user = unpack(redis.call('HMGET', task_key(task_id), 'status',
    'lane', 'entry', 'node', 'session_id', 'parked', 'turn_of_user'))
  local there, consumer = 0, ''
  if lane and entry and #redis.call('XRANGE', lane_key(lane), entry, entry) > 0 then
    there = 1
    local pending = redis.pcall('XPENDING', lane_key(lane), GROUP, entry, entry, 1)
    if not pending.err and pending[1] then consumer = pending[1][2] end
  end
  local is_parked = parked and #redis.call('XRANGE', PARKED, parked, parked) > 0
  local behind = turn_of_user and there == 0 and redis.call('LPOS', user_list(turn_of_user), task_id)
  local turns, state, active = 0, nil, nil
  if session_id then
    turns = #redis.call('LPOS', session_key(session_id) .. ':turns', task_id, 'COUNT', 0)
    state, active = unpack(redis.call('HMGET', session_key(session_id), 'state', 'active_task_id'))
    -- A session that was set aside has no active task any more; those of closed ones expire as well.
    if redis.call('TTL', session_key(session_id)) >= 0 then state = nil end
  end
  return {task_id, status or '', lane or '', entry or '', node or '', session_id or '', there, consumer,
    redis.call('ZSCORE', DELAYED, task_id) and 1 or 0, turns, is_parked and 1 or 0, state or '', active or '',
    redis.call('ZSCORE', INDEX, task_id) and 1 or 0, behind and 1 or 0}
end

local found = {}
for i = FIRST_TASK, #ARGV do
  local is_read, row = isolate(look_at, ARGV[i])
  found[#found + 1] = is_read and row or {ARGV[i], row}
end
return found
