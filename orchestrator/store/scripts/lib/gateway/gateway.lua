-- Calls of the gateway: their records, what is reserved for them, and what they belong to. Needs tenant.lua and trace.lua.
-- A budget is a hash of a day or a month: `used` and `reserved` tokens, and the same by model (`used|model`).
local function call_key(id) return 'orchestrator:call:' .. TENANT .. ':' .. id end
local function budget_key(period) return 'orchestrator:budget:' .. TENANT .. ':' .. period end
local BUDGET_SECONDS = {day = 3 * 86400, month = 40 * 86400}

-- The task that a request began with, which says whose it is; nil where the request has none.
local function task_of(correlation)
  return correlation ~= '' and redis.call('LINDEX', trace_key(correlation), 0) or nil
end

local function trace_call(correlation, what)
  local task = task_of(correlation)
  if task then trace(task, 'gateway', {correlation, redis.call('HGET', task_key(task), 'attempt') or 0}, nil, what) end
end

-- Count in the ledger of a day: by agent and model, by user, and by session.
-- `counters` are pairs of a name and what is added to it; `kept` says for how many seconds each of the three is.
local function count_usage(day, kept, kind, agent, model, user, session, counters)
  local places = {
    {'', kind .. '|' .. agent .. '|' .. model, kept[1]}, {':users', user, kept[2]}, {':sessions', session, kept[2]}}
  for _, place in ipairs(places) do
    local key = 'orchestrator:usage:' .. TENANT .. ':' .. day .. place[1]
    for at = 1, #counters, 2 do
      redis.call('HINCRBY', key, counters[at] .. '|' .. place[2], counters[at + 1])
    end
    redis.call('EXPIRE', key, place[3])
  end
end
