-- Read what decides when a task starts, at one moment.
-- KEYS: 1 the tenant's queue, 2 the rate of starts (GCRA)
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 '1' if the user sees the whole tenant, 6 how many tasks to count at most
-- Returns: {} where the user may see no such task, else names and values
-- Complexity: O(tasks counted + turns waiting in the session + tasks of the user)
--!include common/tenant
--!include common/gcra
--!include common/limits
--!include tasks/users
--!include tasks/depth
--!include tasks/parked
--!include tasks/unclaimed
local start_rate_key = KEYS[2]
local task_id, user, sees_all, most = ARGV[3], ARGV[4], ARGV[5] == '1', tonumber(ARGV[6])

local status, owner, lane_of_task, entry, session_id, node, claimed_at, waiting_for, parked, turn_of_user =
  unpack(redis.call('HMGET', task_key(task_id), 'status', 'user_id', 'lane', 'entry', 'session_id', 'node', 'claimed_at',
    'waiting_for', 'parked', 'turn_of_user'))
if not status or (owner ~= user and not sees_all) then return {} end
local state, concurrency, start_rate = unpack(redis.call('HMGET', CONFIG, 'state', 'concurrency', 'start_rate'))
concurrency, start_rate = configured(concurrency), configured(start_rate)
local known = {'status', status, 'now_ms', NOW, 'tenant_state', state or 'active', 'in_hand', tasks_in_hand()}
local function say(name, value)
  if value then
    known[#known + 1] = name
    known[#known + 1] = value
  end
end
say('node', node)
say('claimed_at_ms', claimed_at)
local calls = waiting_for and cjson.decode(waiting_for)
say('waiting_for', calls and table.concat(calls, ', '))
local wait = calls and redis.call('HGET', task_key(task_id), 'wait:' .. calls[1])
say('waiting_kind', wait and string.match(wait, '^%S+'))
-- What it asks a person stands in it, where the reader opens it: it may be sealed.
if status == 'waiting' then say('progress', redis.call('HGET', task_key(task_id), 'progress')) end
-- Sealed as it may be, its last failure is read by the reader too.
if status == 'retrying' then say('retry_error', redis.call('HGET', task_key(task_id), 'retry_error')) end
say('parked', parked and 1)
say('concurrency', concurrency and string.format('%d', concurrency))
say('start_rate', start_rate and tostring(start_rate))
say('due_ms', redis.call('ZSCORE', DELAYED, task_id))
if start_rate then say('start_wait_ms', select(2, gcra(start_rate_key, start_rate, 1, 1)) or 0) end
if session_id then
  say('turns_before', redis.call('LPOS', session_key(session_id) .. ':turns', task_id))
  say('active_task_id', redis.call('HGET', session_key(session_id), 'active_task_id'))
end
if turn_of_user and not entry then say('users_before', redis.call('LPOS', user_list(turn_of_user), task_id)) end
if status ~= 'pending' or not entry then return known end

say('queued', 1)
local ahead, oldest = 0, nil
for _, lane in ipairs(LANES) do
  local items = unclaimed(lane, most - ahead + 1)
  local head = items[1] and field_of(items[1][2], 'task_id')
  local since = head and number_of(head, 'created_at')
  if since and (not oldest or since < oldest) then oldest = since end
  for _, item in ipairs(items) do
    if lane == lane_of_task and item[1] == entry then break end
    ahead = ahead + 1
  end
  if lane == lane_of_task or ahead > most then break end
end
say('ahead', math.min(ahead, most))
say('ahead_is_more', ahead > most and 1)

local first, last, starts = nil, nil, 0
for _, id in ipairs(oldest and redis.call('ZREVRANGEBYSCORE', INDEX, oldest, '-inf', 'LIMIT', 0, 100) or {}) do
  local started = number_of(id, 'started_at') or 0
  if started > NOW - 60000 then
    starts = starts + 1
    if not first or started < first then first = started end
    if not last or started > last then last = started end
  end
end
say('starts', starts)
if starts > 0 then say('starts_span_ms', last - first) end
return known
