-- Cancel a task on a person's behalf.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 '1' if the user sees the whole tenant, 6 correlation id,
--       7 body of chat.status_update with @task and @message, 8 body of session.state_update for ACTIVE,
--       9 seconds that records are kept, 10 idle ms until a session is paused
-- Returns: {'unknown'}, or {'done' | 'asked' | 'ended', 1 if another turn, or item of a batch, became claimable}
-- Complexity: O(turns waiting in the session)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include tasks/cancel
--!include sessions/turns
local task_id = ARGV[3]
local fields = redis.call('HMGET', task_key(task_id), 'status', 'user_id', 'session_id')
if not fields[1] or (fields[2] ~= ARGV[4] and ARGV[5] ~= '1') then return {'unknown'} end
local outcome, more = cancel_task(task_id, 'cancelled', ARGV[7], ARGV[9])
if outcome == 'done' and fields[3] then
  more = math.max(more, end_turn(fields[3], task_id, 'ACTIVE', 'cancelled', ARGV[6], ARGV[8], tonumber(ARGV[10])))
end
if users_moved_up then more = 1 end
return {outcome, more}
