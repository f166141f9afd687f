-- Give up turns that nobody has started in time, where nobody claims them either: the tenant may be paused, or far behind.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 entries to look at in each lane, 4 error (JSON), 5 body of system.error,
--       6 body of chat.status_update, 7 body of session.state_update, 8 seconds that records are kept;
--       in 4 to 7 stand @session, @task, @message and @correlation
-- Returns: {how many were given up, 1 if another turn became claimable}
-- Complexity: O(entries looked at + turns given up)
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include sessions/turns
local CURSORS = QUEUE .. ':cursors'

local function is_over(task_id)
  local fields = redis.call('HMGET', task_key(task_id), 'status', 'expires_at', 'started_at')
  return fields[1] == 'pending' and not fields[3] and fields[2] and tonumber(fields[2]) <= NOW
end

local function fill(template, session_id, task_id, message_id, correlation)
  local places = {session = session_id, task = task_id, message = message_id, correlation = correlation}
  return (string.gsub(template, '@(%l+)', places))
end

local given_up, more = 0, 0

local function give_up(task_id)
  local task = task_key(task_id)
  local fields = redis.call('HMGET', task, 'session_id', 'message_id', 'correlation_id')
  local function filled(template) return fill(template, fields[1], task_id, fields[2], fields[3]) end
  local err = filled(ARGV[4])
  dequeue(task_id)
  redis.call('HSET', task, 'error', err)
  if not fields[1] then tell_end(task_id, 'failed') end
  redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', task_id, 'error', err, 'attempts', 0, 'at', NOW)
  if conclude(task_id, 'failed', ARGV[8]) == 1 then more = 1 end
  if not fields[1] then return nil end
  append_event(fields[1], 'system.error', filled(ARGV[5]))
  append_event(fields[1], 'chat.status_update', filled(ARGV[6]))
  return fields[1], fields[3], filled(ARGV[7])
end

for _, lane in ipairs(LANES) do
  local cursor = redis.call('HGET', CURSORS, lane)
  local entries = redis.call('XRANGE', lane_key(lane), cursor and '(' .. cursor or '-', '+', 'COUNT', ARGV[3])
  for _, entry in ipairs(entries) do
    local task_id = entry[2][1] == 'task_id' and entry[2][2]
    if task_id and redis.call('HGET', task_key(task_id), 'entry') == entry[1] and is_over(task_id) then
      local session_id, correlation, state_body = give_up(task_id)
      given_up = given_up + 1
      -- The session's next turns have waited as long, or nearly: those that are over as well go with it.
      local turns = session_id and session_key(session_id) .. ':turns'
      local following = session_id and redis.call('LINDEX', turns, 0)
      while following and is_over(following) do
        redis.call('LPOP', turns)
        give_up(following)
        given_up = given_up + 1
        following = redis.call('LINDEX', turns, 0)
      end
      if session_id and end_turn(session_id, task_id, 'ERROR', 'expired', correlation, state_body, 0) == 1 then more = 1 end
    end
  end
end
if users_moved_up then more = 1 end
return {given_up, more}
