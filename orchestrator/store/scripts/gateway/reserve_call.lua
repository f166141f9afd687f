-- Reserve what a call of the gateway may spend, if the tenant's rates and budgets allow it.
-- KEYS: 1 the tenant's queue, 2 the call, 3 the tenant's open calls, 4 the mark of a call of this name that was settled,
--       5 the models that services take where none is named
-- ARGV: 1 tenant, 2 events kept, 3 call, 4 lease (ms), 5 record kept (ms), 6 estimate (tokens), 7 kind, 8 model or '',
--       9 correlation id, 10 user or '', 11 session or '', 12 default of requests_minute, 13 of tokens_minute,
--       14 of tokens_day, 15 of tokens_month, 16… field, value of what else the record has
-- Returns: {'reserved', moment (ms)}, {'joined', moment} where this very call is open already, {'settled'} where it was
--          settled before; or {'rate', wait (ms), what} or {'budget', wait (ms), what, limit, left}
-- Complexity: O(1)
--!include common/tenant
--!include common/moments
--!include common/gcra
--!include common/limits
--!include common/trace
--!include gateway/gateway
local call, open_calls, settled_mark, default_models = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call_id, lease_ms, kept_ms, estimate, kind, asked = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local correlation, user, session = ARGV[9], ARGV[10], ARGV[11]
local default_requests_minute, default_tokens_minute = ARGV[12], ARGV[13]
local default_tokens_day, default_tokens_month = ARGV[14], ARGV[15]
local FIRST_FIELD = 16
local DAY_MS, BURST_SECONDS = 86400000, 60

if redis.call('EXISTS', settled_mark) == 1 then return {'settled'} end
local begun = redis.call('HGET', call, 'begun')
if begun then
  redis.call('ZADD', open_calls, NOW + lease_ms, call_id)
  return {'joined', tonumber(begun)}
end
local model = asked
if model == '' then model = redis.call('HGET', default_models, kind) or '' end

local function of_model(name) return 'model:' .. name .. ':' .. model end
local tier, requests_minute, tokens_minute, tokens_day, tokens_month, model_requests_minute, model_tokens_minute,
  model_tokens_day, model_tokens_month = unpack(redis.call('HMGET', CONFIG, 'tier', 'requests_minute', 'tokens_minute',
    'tokens_day', 'tokens_month', of_model('requests_minute'), of_model('tokens_minute'), of_model('tokens_day'),
    of_model('tokens_month')))
local function tenant_limit(own, default) return limit_from(own, default, tier) end
local function model_limit(own) return limit_from(model ~= '' and own, '') end
local TENANTS, MODELS = 'the tenant', 'model ' .. model

local RATES = 'orchestrator:limits:' .. TENANT .. ':gateway'
local arrivals = {}
-- Return the refusal where a rate is used up.
local function ask_rate(limit, key, cost, what, whose)
  if limit == math.huge or cost <= 0 then return nil end
  local tat, wait = gcra(key, limit / 60, BURST_SECONDS, cost)
  if not tat then return {'rate', wait, limit .. ' ' .. what .. ' a minute of ' .. whose} end
  local cost_ms = cost * 60000 / limit
  arrivals[#arrivals + 1] = {key = key, tat = tat, debt_ms = cost_ms > BURST_SECONDS * 1000 and cost_ms or nil}
end
local refused =
  ask_rate(tenant_limit(requests_minute, default_requests_minute), RATES .. ':requests', 1, 'requests', TENANTS) or
  ask_rate(tenant_limit(tokens_minute, default_tokens_minute), RATES .. ':tokens', estimate, 'tokens', TENANTS) or
  ask_rate(model_limit(model_requests_minute), RATES .. ':requests:' .. model, 1, 'requests', MODELS) or
  ask_rate(model_limit(model_tokens_minute), RATES .. ':tokens:' .. model, estimate, 'tokens', MODELS)
if refused then return refused end

local today = string.sub(moment_of(NOW), 1, 10)
local day, month = string.gsub(today, '-', ''), string.gsub(string.sub(today, 1, 7), '-', '')
local to_midnight = DAY_MS - NOW % DAY_MS
local function to_next_month()
  local wait = to_midnight
  while string.sub(moment_of(NOW + wait), 1, 7) == string.sub(today, 1, 7) do wait = wait + DAY_MS end
  return wait
end
local longest_wait = -1
-- Keep the refusal where a budget has not enough left, if it is the one that lasts longest. `suffix` is '' or '|model'.
local function ask_budget(limit, period, name, suffix, whose)
  if limit == math.huge then return end
  local used, reserved = unpack(redis.call('HMGET', budget_key(name), 'used' .. suffix, 'reserved' .. suffix))
  used, reserved = tonumber(used or 0), tonumber(reserved or 0)
  if used + reserved + estimate <= limit then return end
  -- Reservations are mostly given back soon; what is used counts until the next period.
  local wait = 1000
  if used + estimate > limit then wait = period == 'day' and to_midnight or to_next_month() end
  if wait > longest_wait then
    longest_wait = wait
    refused = {'budget', wait, period .. ' of ' .. whose, limit, math.max(0, limit - used - reserved)}
  end
end
ask_budget(tenant_limit(tokens_day, default_tokens_day), 'day', day, '', TENANTS)
ask_budget(tenant_limit(tokens_month, default_tokens_month), 'month', month, '', TENANTS)
ask_budget(model_limit(model_tokens_day), 'day', day, '|' .. model, MODELS)
ask_budget(model_limit(model_tokens_month), 'month', month, '|' .. model, MODELS)
if refused then return refused end

user, session = payer_of(correlation, user, session)
for _, arrival in ipairs(arrivals) do gcra_write(arrival.key, arrival.tat, arrival.debt_ms) end
for period, name in pairs({day = day, month = month}) do
  redis.call('HINCRBY', budget_key(name), 'reserved', estimate)
  redis.call('HINCRBY', budget_key(name), 'reserved|' .. model, estimate)
  redis.call('EXPIRE', budget_key(name), BUDGET_SECONDS[period])
end
redis.call('HSET', call, 'begun', NOW, 'day', day, 'month', month, 'estimate', estimate, 'kind', kind, 'model', model,
  'asked', asked, 'correlation', correlation, 'user', user, 'session', session, unpack(ARGV, FIRST_FIELD))
redis.call('PEXPIRE', call, kept_ms)
redis.call('ZADD', open_calls, NOW + lease_ms, call_id)
redis.call('PEXPIRE', open_calls, kept_ms)
return {'reserved', NOW}
