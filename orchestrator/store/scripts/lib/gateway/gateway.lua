-- Calls of the gateway: their records, their budgets, their usage. Needs tenant.lua and trace.lua.
-- A budget is a hash of a day or a month: `used` and `reserved` tokens, and the same by model (`used|model`).
local function call_key(id) return 'orchestrator:call:' .. TENANT .. ':' .. id end
local function budget_key(period) return 'orchestrator:budget:' .. TENANT .. ':' .. period end
local BUDGET_SECONDS = {day = 3 * 86400, month = 40 * 86400}

-- Return the task that a request of a user began with; nil where it has none. For '' as the user it is that of the first user.
local function task_of(correlation, user)
  local first = correlation ~= '' and redis.call('LINDEX', trace_key(correlation), 0)
  if not first or user == '' or user_of(first) == user then return first or nil end
  return redis.call('LINDEX', user_trace_key(correlation, user), 0) or nil
end

-- Return the user and the session of a call; '' is filled in from the task that its request began with.
local function payer_of(correlation, user, session)
  local task_id = (user == '' or session == '') and task_of(correlation, user)
  if not task_id then return user, session end
  local task_user, task_session = unpack(redis.call('HMGET', task_key(task_id), 'user_id', 'session_id'))
  if user == '' then user = task_user or '' end
  if session == '' then session = task_session or '' end
  return user, session
end

-- Add a step to the task that the request of a user's call began with.
local function trace_call(correlation, user, what)
  local task_id = task_of(correlation, user)
  if not task_id then return end
  trace(task_id, correlation, redis.call('HGET', task_key(task_id), 'attempt') or 0, 'gateway', nil, what)
end

-- Add a call to the ledger of a day: by kind, agent and model, by user, by session, and by kind, agent and model of the user.
-- `call` has kind, agent, model, user and session; `counters` are pairs of a name and what is added to it;
-- `kept_seconds` is how long the first of them is kept, `payer_seconds` how long the others are.
local function count_usage(day, call, counters, kept_seconds, payer_seconds)
  local ledger = 'orchestrator:usage:' .. TENANT .. ':' .. day
  local bought = call.kind .. '|' .. call.agent .. '|' .. call.model
  local rows = {
    {key = ledger, name = bought, seconds = kept_seconds},
    {key = ledger .. ':users', name = call.user, seconds = payer_seconds},
    {key = ledger .. ':sessions', name = call.session, seconds = payer_seconds},
  }
  if call.user ~= '' then
    rows[#rows + 1] = {key = ledger .. ':user:' .. call.user, name = bought, seconds = payer_seconds}
  end
  for _, row in ipairs(rows) do
    for at = 1, #counters, 2 do
      redis.call('HINCRBY', row.key, counters[at] .. '|' .. row.name, counters[at + 1])
    end
    redis.call('EXPIRE', row.key, row.seconds)
  end
end
