-- Put delayed tasks whose moment has come back into their lanes; what was waited for in vain is answered by an error.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many at most, 4 answer of a client's tool that timed out (JSON),
--       5 body of session.state_update, 6 body of chat.status_update for a turn whose session is closed, both with
--       places to fill in as in begin_turn.lua, 7 seconds that records are kept, 8 answer of a
--       service that timed out (JSON)
-- Returns: {how many were released, the next moment (ms) or ''}
-- Complexity: O(tasks released)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include sessions/begin_turn
--!include tasks/waits
local due = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', NOW, 'LIMIT', 0, ARGV[3])
for _, task_id in ipairs(due) do
  redis.call('ZREM', DELAYED, task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'status', 'waiting_for', 'entry', 'session_id')
  if fields[1] == 'waiting' or fields[1] == 'retrying' then
    if fields[2] then
      give_up_waits(task_id, fields[2], {client_tool = ARGV[4], delegated = ARGV[8]})
    else
      wake(task_id)
    end
  elseif fields[1] == 'pending' and not fields[3] then
    trace_step(task_id, 'begun')
    if fields[4] then begin_turn(task_id, ARGV[5], ARGV[6], ARGV[7]) else enqueue(task_id) end
  end
end
local following = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')
return {#due, following[2] or ''}
