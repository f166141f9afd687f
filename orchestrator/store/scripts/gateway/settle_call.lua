#!lua flags=allow-oom
-- End a call of the gateway: its reservation is given back, and what it has spent is counted, once however often the script is
-- run for it.
-- KEYS: 1 the tenant's queue, 2 the call, 3 the tenant's open calls, 4 the mark that it was settled,
--       5 the models that services take where none is named
-- ARGV: 1 tenant, 2 events kept, 3 call, 4 how it ended: 'settled', 'released' (nothing was spent) or 'given_up' (what was
--       spent is unknown), 5 model that answered, 6 tokens, 7 seconds that the mark is kept or 0,
--       8 seconds that usage by agent and model is kept, 9 by user and session, 10… pairs: a counter and what is added
-- Returns: 1, or 0 where it had ended before
-- Complexity: O(counters)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
local record_key, open_calls, settled_mark, default_models = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call_id, how, model, spent, mark_seconds = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local kept_seconds, payer_seconds = ARGV[8], ARGV[9]
local counters = {unpack(ARGV, 10)}

local day, month, estimate, kind, reserved_model, asked, agent, user, session, correlation =
  unpack(redis.call('HMGET', record_key, 'day', 'month', 'estimate', 'kind', 'model', 'asked', 'agent', 'user', 'session',
    'correlation'))
redis.call('ZREM', open_calls, call_id)
if not day then return 0 end
redis.call('DEL', record_key)
estimate = tonumber(estimate)
if how == 'given_up' then
  spent, model = estimate, reserved_model
  counters = {'requests', 1, 'unsettled_tokens', estimate}
end
for _, period in ipairs({day, month}) do
  local budget = budget_key(period)
  -- A budget that has expired since is not made again.
  if redis.call('EXISTS', budget) == 1 then
    redis.call('HINCRBY', budget, 'reserved', -estimate)
    redis.call('HINCRBY', budget, 'reserved|' .. reserved_model, -estimate)
    if how ~= 'released' then
      redis.call('HINCRBY', budget, 'used', spent)
      redis.call('HINCRBY', budget, 'used|' .. model, spent)
    end
  end
end
if how == 'released' then return 1 end
if mark_seconds > 0 then redis.call('SET', settled_mark, '1', 'EX', mark_seconds) end
if how == 'settled' and asked == '' then
  redis.call('HSET', default_models, kind, model)
  redis.call('EXPIRE', default_models, BUDGET_SECONDS.month)
end
local call = {kind = kind, agent = agent, model = model, user = user, session = session}
count_usage(day, call, counters, kept_seconds, payer_seconds)
local estimated = how == 'given_up' and ', estimated' or ''
trace_call(correlation, user or '', kind .. ' ' .. model .. ' ' .. spent .. ' tokens' .. estimated)
return 1
