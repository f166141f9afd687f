-- The request's timeline. Needs tenant.lua.
-- A task's steps stand in its record, in the field `steps`: a line each, its parts with tabs between; so a script that
-- writes the record anyhow writes them for nothing. The timeline of a request names its tasks.
local TRACE_TASKS, TRACE_SECONDS, STEPS_BYTES = 1000, 86400, 65536

local function trace_key(correlation) return 'orchestrator:trace:' .. TENANT .. ':' .. correlation end

-- Have a task found by its request, for a day from now on.
local function trace_task(task_id, correlation)
  if not correlation or correlation == '' then return end
  local timeline = trace_key(correlation)
  if redis.call('RPUSH', timeline, task_id) > TRACE_TASKS then redis.call('LTRIM', timeline, -TRACE_TASKS, -1) end
  redis.call('EXPIRE', timeline, TRACE_SECONDS)
end

-- Return a record's `steps` (false or nil: none yet) with one more; `node` and `detail` may be nil.
local function with_step(steps, what, attempt, node, detail)
  local line = NOW .. '\t' .. what .. '\t' .. (attempt or 0) .. '\t' .. (node or '') .. '\t' ..
    (detail and string.gsub(detail, '[\t\n]', ' ') or '')
  if not steps then return line end
  if #steps > STEPS_BYTES then steps = string.match(string.sub(steps, -STEPS_BYTES / 2), '\n(.*)') end
  return steps .. '\n' .. line
end

-- Note that a task has come so far. `task` holds its correlation id and attempt, in this order; `node` and `detail` may be nil.
local function trace(task_id, what, task, node, detail)
  if not task[1] or task[1] == '' then return end
  local known = redis.call('HMGET', task_key(task_id), 'correlation_id', 'steps')
  if not known[1] then return end
  redis.call('HSET', task_key(task_id), 'steps', with_step(known[2], what, task[2], node, detail))
  if not known[2] then trace_task(task_id, task[1]) end
end

local function trace_step(task_id, what, node, detail)
  trace(task_id, what, redis.call('HMGET', task_key(task_id), 'correlation_id', 'attempt'), node, detail)
end

-- A task that has waited for long is named again when it goes on, and when it ends.
local function trace_again(task_id, correlation, since)
  if NOW - (since or NOW) > TRACE_SECONDS * 500 then trace_task(task_id, correlation) end
end
