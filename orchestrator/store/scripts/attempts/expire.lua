#!lua flags=allow-oom
-- Fail tasks that were not started in time and are not claimed either: the tenant may be paused, or far behind.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 entries to look at in each lane, 4 error (JSON), 5 body of system.error,
--       6 body of chat.status_update, 7 body of session.state_update, 8 seconds that records are kept;
--       4 to 7 have @session, @task, @message and @correlation
-- Returns: {how many tasks have failed, 1 if another turn became claimable}
-- Complexity: O(entries looked at + turns that fail)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include sessions/turns
--!include common/dead_letters
local count, error_template, trouble_template = ARGV[3], ARGV[4], ARGV[5]
local status_template, state_template, retain_seconds = ARGV[6], ARGV[7], ARGV[8]
local CURSORS = QUEUE .. ':cursors'

local function is_over(task_id)
  local status, expires_at, started_at =
    unpack(redis.call('HMGET', task_key(task_id), 'status', 'expires_at', 'started_at'))
  return status == 'pending' and not started_at and expires_at and tonumber(expires_at) <= NOW
end

local failed, more = 0, 0

-- Fail a task. Of a turn it returns the session, the correlation id and the body of session.state_update.
local function fail(task_id)
  local task = task_key(task_id)
  local session_id, message_id, correlation =
    unpack(redis.call('HMGET', task, 'session_id', 'message_id', 'correlation_id'))
  local places = {session = session_id, task = task_id, message = message_id, correlation = correlation}
  local function filled(template) return (string.gsub(template, '@(%l+)', places)) end
  local err = filled(error_template)
  failed = failed + 1
  dequeue(task_id)
  redis.call('HSET', task, 'error', err)
  if not session_id then tell_end(task_id, 'failed') end
  dead_letter('task_id', task_id, 'error', err, 'attempts', 0, 'at', NOW)
  if conclude(task_id, 'failed', retain_seconds) == 1 then more = 1 end
  if not session_id then return nil end
  isolate(append_event, session_id, 'system.error', filled(trouble_template))
  isolate(append_event, session_id, 'chat.status_update', filled(status_template))
  return session_id, correlation, filled(state_template)
end

local function look_at(entry, fields)
  local task_id = fields[1] == 'task_id' and fields[2]
  if task_id and redis.call('HGET', task_key(task_id), 'entry') == entry and is_over(task_id) then
    local session_id, correlation, state_body = fail(task_id)
    -- The session's next turns have waited nearly as long: those that are over fail with it.
    local turns = session_id and session_key(session_id) .. ':turns'
    local following = session_id and redis.call('LINDEX', turns, 0)
    while following and is_over(following) do
      redis.call('LPOP', turns)
      count_turns(session_id)
      fail(following)
      following = redis.call('LINDEX', turns, 0)
    end
    if session_id and end_turn(session_id, task_id, 'ERROR', 'expired', correlation, state_body, 0) == 1 then more = 1 end
  end
end

for _, lane in ipairs(LANES) do
  local cursor = redis.call('HGET', CURSORS, lane)
  local items = redis.call('XRANGE', lane_key(lane), cursor and '(' .. cursor or '-', '+', 'COUNT', count)
  for _, item in ipairs(items) do
    local entry, fields = unpack(item)
    -- A task whose record can't be read is left to its claim.
    isolate(look_at, entry, fields)
  end
end
if users_moved_up then more = 1 end
return {failed, more}
