-- The end of a task, outside of a session: callbacks, and the end event of its own log. Needs tenant.lua and the lanes of
-- queue.lua, which includes it.
--!include common/events
--!include common/moments

-- Enqueue the callback of a batch or a task, whose record is `owner`, where its creator asked for one; `kind` is 'batch_id' or
-- 'of_task', and `id` its value. Returns 1 if the callback became claimable, else 0.
local function call_back(owner, kind, id)
  local task_id, message, priority, user, correlation, type_name = unpack(redis.call('HMGET', owner, 'callback_task',
    'callback_message', 'callback_priority', 'user_id', 'correlation_id', 'callback_type'))
  if not task_id then return 0 end
  -- Records of older versions do not say it.
  type_name = type_name or type_of(message)
  redis.call('HSET', task_key(task_id), 'task_id', task_id, 'message', message, 'status', 'pending', 'attempt', 0,
    'lane', 'low', 'priority', priority, 'type', type_name, 'created_at', NOW, 'user_id', user,
    'correlation_id', correlation, kind, id)
  redis.call('ZADD', INDEX, NOW, task_id)
  trace(task_id, correlation, 0, 'accepted', nil, type_name)
  enqueue(task_id)
  return 1
end

-- The same for a task, where its creator asked for ends of this status (`wanted` has commas around each status).
local function call_back_task(task_id, status, wanted)
  if not wanted or not string.find(wanted, ',' .. status .. ',', 1, true) then return 0 end
  return call_back(task_key(task_id), 'of_task', task_id)
end

-- Return how far a task was, as members of an event's data. `kept` is what its record says of that (JSON): its own figures, or
-- the last progress that a service reported.
local function figures_of(kept)
  local told, figures = cjson.decode(before_sealed(kept or '{}')), {'"current_step":null'}
  for i, name in ipairs({'progress', 'steps_completed', 'steps_total', 'message'}) do
    local value = told[name]
    if value == nil or value == cjson.null then value = i < 4 and 0 or cjson.null end
    figures[i + 1] = '"' .. (name == 'message' and 'status_message' or name) .. '":' .. cjson.encode(value)
  end
  return table.concat(figures, ',')
end

-- Return the body of an event with who has stopped what it tells of.
local function told_by(body, by)
  return (string.gsub(body, '"cancelled_by":null', '"cancelled_by":"' .. by .. '"', 1))
end

-- Append the end of a task that is no turn, and that ends without a worker, to its log. Its record has the body (`end_body`),
-- with @status, @task, @message and @moment, and with "@figures":null where the event says how far the task was, and who has
-- stopped it (`by`, if it was stopped).
local function tell_end(task_id, status, by)
  local event, template, own_figures, progress =
    unpack(redis.call('HMGET', task_key(task_id), 'end_event', 'end_body', 'figures', 'progress'))
  if not event then return end
  local places = {status = status, task = task_id, message = task_id .. '.end', moment = moment_of(NOW)}
  local body = string.gsub(template, '@(%l+)', places)
  local kept = own_figures or progress
  local figures = figures_of(kept) .. ',"cancelled_by":' .. (by and '"' .. by .. '"' or 'null')
  -- What is sealed of the progress goes behind the body: the reader of the event fills its words in.
  append_for(task_id, '', event,
    string.gsub(body, '"@figures":null', function() return figures end) .. sealed_part(kept or ''))
end
