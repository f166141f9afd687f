#!lua flags=allow-oom
-- Take the answer to a call that a task waits for, or has delegated, and wake the task. The first answer counts; it may come
-- before the task waits. An answer without a token counts only for a call that a client is asked for.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, or '' for the session's active one, 4 session or '', 5 call, or '' for the token's,
--       6 digest of a callback token or '', 7 answer (JSON), 8 name and 9 body of an event of the session, or '', ''
-- Returns: {'unknown'}, {'refused'} (the token is none of this task, or has expired), {'late', status} where nothing has
--          changed, or {'taken', status, 1 if the task became claimable}
-- Complexity: O(waits + log of tasks delayed)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include tasks/waits
local task_id, session_id, call_id = ARGV[3], ARGV[4], ARGV[5]
local digest, answer, event, body = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

if task_id == '' then task_id = redis.call('HGET', session_key(session_id), 'active_task_id') end
if not task_id then return {'unknown'} end
local status, finished_at = unpack(redis.call('HMGET', task_key(task_id), 'status', 'finished_at'))
if not status then return {'unknown'} end
if digest ~= '' then
  call_id = call_of_token(task_id, digest)
  if not call_id then return {'refused'} end
  end_delegation(task_id, call_id)
elseif not waits_for_client(task_id, call_id) then
  return {'late', status}
end
if finished_at or not keep_answer(task_id, call_id, answer) then return {'late', status} end
if event ~= '' then append_event(session_id, event, body) end
local woken = wake_for(task_id, call_id)
if woken == 0 then trace_step(task_id, 'answered', nil, call_id) end
return {'taken', redis.call('HGET', task_key(task_id), 'status'), woken}
