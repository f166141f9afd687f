-- Stop a task, whatever it is doing. Needs tenant.lua, events.lua and queue.lua.
-- One that has not started, or that waits, ends at once; one that runs is asked to, by the channel that every process
-- listens to. `template` is the body of chat.status_update with @task and @message in place of the ids.
-- Returns 'done', 'asked' or 'ended' (it had ended before).
local function cancel_task(task_id, reason, template, retain_seconds)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'status', 'session_id', 'message_id')
  local status, session_id, message_id = fields[1], fields[2], fields[3]
  if status == 'processing' then
    redis.call('HSET', task, 'cancel', reason)
    redis.call('PUBLISH', 'orchestrator:cancel', task_id)
    trace_step(task_id, 'cancel_asked', nil, reason)
    return 'asked'
  elseif status == 'pending' or status == 'waiting' or status == 'retrying' then
    dequeue(task_id)
    redis.call('ZREM', DELAYED, task_id)
    redis.call('HSET', task, 'cancel', reason)
    conclude(task_id, 'cancelled', retain_seconds)
    if session_id then
      redis.call('LREM', session_key(session_id) .. ':turns', 1, task_id)
      local body = string.gsub(string.gsub(template, '@task', task_id, 1), '@message', message_id, 1)
      append_event(session_id, 'chat.status_update', body)
    end
    return 'done'
  end
  return 'ended'
end
