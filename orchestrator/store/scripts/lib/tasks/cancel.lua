-- Stop a task, and append that to the log of its session. Needs tenant.lua, events.lua and queue.lua.
-- `template` is the body of chat.status_update with @task and @message in place of the ids, and "cancelled_by":null.
-- Returns what `stop_task` does.
local function cancel_task(task_id, reason, by, template, retain_seconds)
  local session_id, message_id = unpack(redis.call('HMGET', task_key(task_id), 'session_id', 'message_id'))
  local outcome, more = stop_task(task_id, reason, by, retain_seconds)
  if outcome == 'done' and session_id then
    if redis.call('LREM', session_key(session_id) .. ':turns', 1, task_id) > 0 then count_turns(session_id) end
    local body = string.gsub(string.gsub(template, '@task', task_id, 1), '@message', message_id, 1)
    append_event(session_id, 'chat.status_update', told_by(body, by))
  end
  return outcome, more
end
