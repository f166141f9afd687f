#!lua flags=allow-oom
-- Put delayed tasks whose moment has come back into their lanes; calls that have timed out are answered by an error.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 answer of a client's tool that timed out (JSON),
--       5 body of session.state_update, 6 body of chat.status_update for a turn whose session is closed, both with
--       the places of begin_turn.lua, 7 seconds that records are kept, 8 answer of a service that timed out (JSON)
-- Returns: {how many were released, the next moment (ms) or ''}
-- Complexity: O(tasks released)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include sessions/begin_turn
--!include tasks/waits
--!include common/sound
local count, late_client, state_body, status_body = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local retain_seconds, late_service = ARGV[7], ARGV[8]
local late = {client_tool = late_client, delegated = late_service}

local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, count)
-- A task that leaves the delayed ones and can't enter its lane would be lost.
if #due > 0 then
  for _, lane in ipairs(LANES) do must_be('stream', lane_key(lane)) end
end
local function release(task_id)
  local status, waiting_for, entry, session_id =
    unpack(redis.call('HMGET', task_key(task_id), 'status', 'waiting_for', 'entry', 'session_id'))
  if status == 'waiting' or status == 'retrying' then
    if waiting_for then
      give_up_waits(task_id, waiting_for, late)
    else
      wake(task_id)
    end
  elseif status == 'pending' and not entry then
    trace_step(task_id, 'begun')
    if session_id then begin_turn(task_id, state_body, status_body, retain_seconds) else enqueue(task_id) end
  end
end

for _, task_id in ipairs(due) do
  redis.call('ZREM', DELAYED, task_id)
  -- A task whose record can't be read is claimed all the same: the claim moves it to the dead letters.
  if not isolate(release, task_id) then put_into_lane(task_id) end
end
local next_due = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
return {#due, next_due or ''}
