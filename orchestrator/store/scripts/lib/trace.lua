-- The request's timeline. Needs tenant.lua.
-- Every entry has the same fields, so that Redis stores their names once; its id says when.
local TRACE_LENGTH, TRACE_SECONDS = 1000, 86400

-- Note that a task has come so far. `task` holds its correlation id and attempt, in this order; `node` and `detail` may be nil.
local function trace(task_id, what, task, node, detail)
  if not task[1] or task[1] == '' then return end
  local timeline = 'orchestrator:trace:' .. TENANT .. ':' .. task[1]
  redis.call('XADD', timeline, 'MAXLEN', '~', TRACE_LENGTH, '*',
    't', task_id, 'w', what, 'a', task[2] or 0, 'n', node or '', 'd', detail or '')
  redis.call('EXPIRE', timeline, TRACE_SECONDS)
end

local function trace_step(task_id, what, node, detail)
  trace(task_id, what, redis.call('HMGET', task_key(task_id), 'correlation_id', 'attempt'), node, detail)
end
