-- Read what decides when a task starts, at one moment.
-- KEYS: 1 the tenant's queue, 2 the rate of starts (GCRA)
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 user, 5 '1' if the user sees the whole tenant, 6 how many tasks to count at most
-- Returns: {} where the user may see no such task, else names and values
-- Complexity: O(tasks counted + turns waiting in the session + tasks of the user)
--!include common/tenant
--!include tasks/users
--!include common/config
--!include tasks/parked
--!include tasks/unclaimed
local task_id, most = ARGV[3], tonumber(ARGV[6])
local fields = redis.call('HMGET', task_key(task_id), 'status', 'user_id', 'lane', 'entry', 'session_id', 'node',
  'claimed_at', 'waiting_for', 'parked', 'turn_of_user')
if not fields[1] or (fields[2] ~= ARGV[4] and ARGV[5] ~= '1') then return {} end
local config = redis.call('HMGET', CONFIG, 'state', 'concurrency', 'start_rate')
local known = {'status', fields[1], 'now_ms', NOW, 'tenant_state', config[1] or 'active', 'in_hand', tasks_in_hand()}
local function say(name, value)
  if value then
    known[#known + 1] = name
    known[#known + 1] = value
  end
end
say('node', fields[6])
say('claimed_at_ms', fields[7])
say('waiting_for', fields[8] and table.concat(cjson.decode(fields[8]), ', '))
local first = fields[8] and redis.call('HGET', task_key(task_id), 'wait:' .. cjson.decode(fields[8])[1])
say('waiting_kind', first and string.match(first, '^%S+'))
say('parked', fields[9] and 1)
say('concurrency', config[2])
say('start_rate', config[3])
say('due_ms', redis.call('ZSCORE', DELAYED, task_id))
if config[3] then say('start_wait_ms', math.max(0, math.ceil(tonumber(redis.call('GET', KEYS[2]) or 0) - NOW))) end
if fields[5] then
  say('turns_before', redis.call('LPOS', session_key(fields[5]) .. ':turns', task_id))
  say('active_task_id', redis.call('HGET', session_key(fields[5]), 'active_task_id'))
end
if fields[10] and not fields[4] then say('users_before', redis.call('LPOS', user_list(fields[10]), task_id)) end
if fields[1] ~= 'pending' or not fields[4] then return known end

say('queued', 1)
local ahead, oldest = 0, nil
for _, lane in ipairs(LANES) do
  local entries = unclaimed(lane, most - ahead + 1)
  local head = entries[1] and field_of(entries[1][2], 'task_id')
  local since = head and redis.call('HGET', task_key(head), 'created_at')
  if since and (not oldest or tonumber(since) < oldest) then oldest = tonumber(since) end
  for _, item in ipairs(entries) do
    if lane == fields[3] and item[1] == fields[4] then break end
    ahead = ahead + 1
  end
  if lane == fields[3] or ahead > most then break end
end
say('ahead', math.min(ahead, most))
say('ahead_is_more', ahead > most and 1)

local first, last, starts = nil, nil, 0
for _, id in ipairs(oldest and redis.call('ZREVRANGEBYSCORE', INDEX, oldest, '-inf', 'LIMIT', 0, 100) or {}) do
  local started = tonumber(redis.call('HGET', task_key(id), 'started_at') or 0)
  if started > NOW - 60000 then
    starts = starts + 1
    if not first or started < first then first = started end
    if not last or started > last then last = started end
  end
end
say('starts', starts)
if starts > 0 then say('starts_span_ms', last - first) end
return known
