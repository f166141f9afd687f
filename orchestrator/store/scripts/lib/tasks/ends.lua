-- Who hears of an end elsewhere than in a session. Needs tenant.lua and the lanes of queue.lua, which includes it.
--!include common/events
--!include common/moments

-- Have the end of a batch or a task, whose record `owner` is, told to whom its creator named; `kind` is 'batch_id' or
-- 'of_task', and `id` that. Returns 1 if that became claimable work, else 0.
local function call_back(owner, kind, id)
  local fields = redis.call('HMGET', owner, 'callback_task', 'callback_message', 'callback_priority', 'user_id', 'correlation_id')
  local task_id = fields[1]
  if not task_id then return 0 end
  local named = type_of(fields[2])
  redis.call('HSET', task_key(task_id), 'task_id', task_id, 'message', fields[2], 'status', 'pending', 'attempt', 0,
    'lane', 'low', 'priority', fields[3], 'type', named, 'created_at', NOW, 'user_id', fields[4], 'correlation_id', fields[5],
    kind, id)
  redis.call('ZADD', INDEX, NOW, task_id)
  trace(task_id, 'accepted', {fields[5], 0}, nil, named)
  enqueue(task_id)
  return 1
end

-- The same for a task, where its creator asked for ends of this status (`callback_ends`, with commas around each).
local function call_back_task(task_id, status, wanted)
  if not wanted or not string.find(wanted, ',' .. status .. ',', 1, true) then return 0 end
  return call_back(task_key(task_id), 'of_task', task_id)
end

-- How far a task was, as an event tells it, out of what its record has (JSON): what it has noted of itself (`figures`), or the
-- last news of it (`progress`).
local function figures_of(kept)
  local told, figures = cjson.decode(kept or '{}'), {'"current_step":null'}
  for i, name in ipairs({'progress', 'steps_completed', 'steps_total', 'message'}) do
    local value = told[name]
    if value == nil or value == cjson.null then value = i < 4 and 0 or cjson.null end
    figures[i + 1] = '"' .. (name == 'message' and 'status_message' or name) .. '":' .. cjson.encode(value)
  end
  return table.concat(figures, ',')
end

-- Tell those who follow a task that is no turn of an end that no worker brings. Its record knows what is told: `end_body`,
-- with @status, @task, @message and @moment, and "@figures":null where it says how far the task was.
local function tell_end(task_id, status)
  local fields = redis.call('HMGET', task_key(task_id), 'end_event', 'end_body', 'figures', 'progress')
  if not fields[1] then return end
  local places = {status = status, task = task_id, message = task_id .. '.end', moment = moment_of(NOW)}
  local body = string.gsub(fields[2], '@(%l+)', places)
  local figures = figures_of(fields[3] or fields[4])
  append_for(task_id, '', fields[1], (string.gsub(body, '"@figures":null', function() return figures end)))
end
