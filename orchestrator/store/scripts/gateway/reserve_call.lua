-- Reserve what a call of the gateway may spend, if the tenant's rates and budgets allow it.
-- KEYS: 1 the tenant's queue, 2 the call, 3 the tenant's open calls, 4 the mark of a call of this name that was settled,
--       5 the models that services take where none is named
-- ARGV: 1 tenant, 2 events kept, 3 call, 4 lease (ms), 5 record kept (ms), 6 estimate (tokens), 7 kind, 8 model or '',
--       9 correlation id, 10 user or '', 11 session or '', 12 default of requests_minute,
--       13 of tokens_minute, 14 of tokens_day, 15 of tokens_month, 16… name, value of what else the record has
-- Returns: {'reserved', moment (ms)}, {'joined', moment} where this very call is open already, {'settled'} where it was
--          settled before; or {'rate', wait (ms), what} or {'budget', wait (ms), what, limit, left}
-- Complexity: O(1)
--!include common/tenant
--!include common/moments
--!include common/gcra
--!include common/limits
--!include common/trace
--!include gateway/gateway
local DAY_MS, BURST = 86400000, 60
if redis.call('EXISTS', KEYS[4]) == 1 then return {'settled'} end
local begun = redis.call('HGET', KEYS[2], 'begun')
if begun then
  redis.call('ZADD', KEYS[3], NOW + ARGV[4], ARGV[3])
  return {'joined', tonumber(begun)}
end
local estimate, model = tonumber(ARGV[6]), ARGV[8]
if model == '' then model = redis.call('HGET', KEYS[5], ARGV[7]) or '' end

local NAMES = {'requests_minute', 'tokens_minute', 'tokens_day', 'tokens_month'}
local wanted = {'tier'}
for _, name in ipairs(NAMES) do wanted[#wanted + 1] = name end
for _, name in ipairs(NAMES) do wanted[#wanted + 1] = 'model:' .. name .. ':' .. model end
local own = redis.call('HMGET', CONFIG, unpack(wanted))
-- Limits of the tenant, then those of the model.
local limits = {}
for at in ipairs(NAMES) do
  limits[at] = limit_from(own[at + 1], ARGV[at + 11], own[1])
  limits[at + 4] = limit_from(model ~= '' and own[at + 5], '')
end

local function whose(of_model) return of_model and 'model ' .. model or 'the tenant' end

local LIMITS = 'orchestrator:limits:' .. TENANT .. ':gateway'
local arrivals = {}
for _, rate in ipairs({{1, ':requests', 1}, {2, ':tokens', estimate}, {5, ':requests:' .. model, 1}, {6, ':tokens:' .. model, estimate}}) do
  local limit, cost = limits[rate[1]], rate[3]
  if limit < math.huge and cost > 0 then
    local tat, wait = gcra(LIMITS .. rate[2], limit / 60, BURST, cost)
    if not tat then
      return {'rate', wait, limit .. (rate[1] % 4 == 1 and ' requests' or ' tokens') .. ' a minute of ' .. whose(rate[1] > 4)}
    end
    arrivals[#arrivals + 1] = {LIMITS .. rate[2], tat}
  end
end

local today = string.sub(moment_of(NOW), 1, 10)
local day, month = string.gsub(today, '-', ''), string.gsub(string.sub(today, 1, 7), '-', '')
local to_midnight = DAY_MS - NOW % DAY_MS
local function to_next_month()
  local wait = to_midnight
  while string.sub(moment_of(NOW + wait), 1, 7) == string.sub(today, 1, 7) do wait = wait + DAY_MS end
  return wait
end
local refused
for _, budget in ipairs({{3, day, ''}, {4, month, ''}, {7, day, '|' .. model}, {8, month, '|' .. model}}) do
  local limit = limits[budget[1]]
  if limit < math.huge then
    local spent = redis.call('HMGET', budget_key(budget[2]), 'used' .. budget[3], 'reserved' .. budget[3])
    local used, reserved = tonumber(spent[1] or 0), tonumber(spent[2] or 0)
    if used + reserved + estimate > limit then
      -- What others have reserved is mostly given back soon; what is used comes back with the next period.
      local wait = used + estimate <= limit and 1000 or (budget[2] == day and to_midnight or to_next_month())
      if not refused or wait > refused[2] then
        local what = (budget[2] == day and 'day' or 'month') .. ' of ' .. whose(budget[3] ~= '')
        refused = {'budget', wait, what, limit, math.max(0, limit - used - reserved)}
      end
    end
  end
end
if refused then return refused end

local user, session = ARGV[10], ARGV[11]
local task = (user == '' or session == '') and task_of(ARGV[9])
if task then
  local known = redis.call('HMGET', task_key(task), 'user_id', 'session_id')
  if user == '' then user = known[1] or '' end
  if session == '' then session = known[2] or '' end
end
for _, arrival in ipairs(arrivals) do gcra_write(arrival[1], arrival[2]) end
for period, name in pairs({day = day, month = month}) do
  redis.call('HINCRBY', budget_key(name), 'reserved', estimate)
  redis.call('HINCRBY', budget_key(name), 'reserved|' .. model, estimate)
  redis.call('EXPIRE', budget_key(name), BUDGET_SECONDS[period])
end
redis.call('HSET', KEYS[2], 'begun', NOW, 'day', day, 'month', month, 'estimate', estimate, 'kind', ARGV[7], 'model', model,
  'asked', ARGV[8], 'correlation', ARGV[9], 'user', user, 'session', session, unpack(ARGV, 16))
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('ZADD', KEYS[3], NOW + ARGV[4], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
return {'reserved', NOW}
