-- The request's timeline. Needs tenant.lua.
-- Every entry has the same fields, so that Redis stores their names once; its id says when.
local TRACE_LENGTH, TRACE_SECONDS, SHORT_TRACE = 1000, 86400, 16

local function trace_key(correlation) return 'orchestrator:trace:' .. TENANT .. ':' .. correlation end

-- Note that a task has come so far. `task` holds its correlation id and attempt, in this order; `node` and `detail` may be nil.
local function trace(task_id, what, task, node, detail)
  if not task[1] or task[1] == '' then return end
  local timeline = trace_key(task[1])
  redis.call('XADD', timeline, 'MAXLEN', '~', TRACE_LENGTH, '*',
    't', task_id, 'w', what, 'a', task[2] or 0, 'n', node or '', 'd', detail or '')
  redis.call('EXPIRE', timeline, TRACE_SECONDS)
end

local function trace_step(task_id, what, node, detail)
  trace(task_id, what, redis.call('HMGET', task_key(task_id), 'correlation_id', 'attempt'), node, detail)
end

-- Redis sets 4 KiB aside for a stream that grows; a short timeline that is complete needs a tenth, which a copy has.
local function trace_end(task_id, what, task, node, detail)
  trace(task_id, what, task, node, detail)
  if not task[1] or task[1] == '' then return end
  local timeline = trace_key(task[1])
  if redis.call('XLEN', timeline) > SHORT_TRACE then return end
  redis.call('COPY', timeline, timeline .. ':copy', 'REPLACE')
  redis.call('RENAME', timeline .. ':copy', timeline)
end
