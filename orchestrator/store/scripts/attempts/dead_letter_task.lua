#!lua flags=allow-oom
-- Move a claimed task that can't be run to the dead letters, with the reason. Whatever is wrong with its record or with that of
-- its session: what can be done of its end is done, and the session goes on with its next turn.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry, or '' where the task may be anywhere, 5 task, 6 attempt, or '' where it is
--       unknown, 7 session or '', 8 error (JSON), 9 what the entry held, cut, 10 correlation id, 11 body of
--       session.state_update, where @session may stand for the session, 12 seconds that records are kept
-- Returns: -1 if another process has dealt with it, else 1 if there may be work that became claimable, else 0
-- Complexity: O(1), and O(turns waiting) where the record of the session is of the wrong type
--!include common/tenant
--!include common/events
--!include sessions/sessions
--!include tasks/queue
--!include sessions/turns
local lane, entry, task_id, attempt, session_id, err, kept = unpack(ARGV, 3, 9)
local correlation, state_body, retain_seconds = ARGV[10], ARGV[11], ARGV[12]

local function type_at(key) return redis.call('TYPE', key).ok end

local task, session = task_key(task_id), session_key(session_id)
local is_record = type_at(task) == 'hash'
if attempt ~= '' and is_record and redis.call('HGET', task, 'attempt') ~= attempt then return -1 end
if entry == '' then
  isolate(dequeue, task_id)
else
  if redis.call('XDEL', lane_key(lane), entry) == 0 then return -1 end
  redis.pcall('XACK', lane_key(lane), GROUP, entry)
end
if session_id == '' and is_record then session_id = redis.call('HGET', task, 'session_id') or '' end
redis.call('XADD', DEAD_LETTERS, 'MAXLEN', '~', 10000, '*', 'task_id', task_id, 'error', err, 'message', kept,
  'attempts', string.match(attempt, '^%d+$') or 0, 'at', NOW)
redis.pcall('ZREM', DELAYED, task_id)

local more = 0
if is_record then
  local user = redis.call('HGET', task, 'turn_of_user')
  if user then isolate(leave_user, task_id, user) end
  local is_sound, follows = isolate(conclude, task_id, 'failed', retain_seconds, 'error', err)
  if not is_sound then
    redis.call('HSET', task, 'status', 'failed', 'finished_at', NOW, 'error', err)
    redis.call('HDEL', task, 'entry', 'node')
    redis.call('ZADD', INDEX .. ':failed', tonumber(redis.call('HGET', task, 'created_at') or NOW) or NOW, task_id)
  end
  if follows == 1 then more = 1 end
end
redis.call('EXPIRE', task, retain_seconds)
if session_id == '' then return more end

state_body = string.gsub(state_body, '@session', function() return session_id end)
redis.pcall('LREM', session .. ':turns', 0, task_id)
isolate(count_turns, session_id)
local is_sound, follows = isolate(end_turn, session_id, task_id, 'ERROR', 'damaged', correlation, state_body, 0)
if not is_sound or follows == 1 then more = 1 end
local kind = type_at(session)
if kind ~= 'hash' and kind ~= 'none' then
  -- It has no active turn any more: each turn that waits is claimed, and says the same.
  while true do
    local following = redis.pcall('LPOP', session .. ':turns')
    if type(following) ~= 'string' then break end
    put_into_lane(following)
    more = 1
  end
  isolate(count_turns, session_id)
end
return more
