-- End a call of the gateway: what was reserved for it is given back, and what it has spent is counted, once however often
-- the script is run for it.
-- KEYS: 1 the tenant's queue, 2 the call, 3 the tenant's open calls, 4 the mark that it was settled,
--       5 the models that services take where none is named
-- ARGV: 1 tenant, 2 events kept, 3 call, 4 how it ended: 'settled', 'released' (nothing was spent) or 'given_up' (nobody
--       knows), 5 model that answered, 6 tokens, 7 seconds that the mark is kept or 0,
--       8 seconds that usage by agent and model is kept, 9 by user and session, then pairs: a counter and what is added
-- Returns: 1, or 0 where it had ended before
-- Complexity: O(counters)
--!include common/tenant
--!include common/trace
--!include gateway/gateway
local call = redis.call('HMGET', KEYS[2], 'day', 'month', 'estimate', 'kind', 'model', 'asked', 'agent', 'user', 'session',
  'correlation')
redis.call('ZREM', KEYS[3], ARGV[3])
if not call[1] then return 0 end
redis.call('DEL', KEYS[2])
local how, model, estimate = ARGV[4], ARGV[5], tonumber(call[3])
local spent = tonumber(ARGV[6])
local counters = {unpack(ARGV, 10)}
if how == 'given_up' then
  spent, model = estimate, call[5]
  counters = {'requests', 1, 'unsettled_tokens', estimate}
end
for at = 1, 2 do
  local budget = budget_key(call[at])
  -- One that has expired since is not brought back.
  if redis.call('EXISTS', budget) == 1 then
    redis.call('HINCRBY', budget, 'reserved', -estimate)
    redis.call('HINCRBY', budget, 'reserved|' .. call[5], -estimate)
    if how ~= 'released' then
      redis.call('HINCRBY', budget, 'used', spent)
      redis.call('HINCRBY', budget, 'used|' .. model, spent)
    end
  end
end
if how == 'released' then return 1 end
if tonumber(ARGV[7]) > 0 then redis.call('SET', KEYS[4], '1', 'EX', ARGV[7]) end
if how == 'settled' and call[6] == '' then
  redis.call('HSET', KEYS[5], call[4], model)
  redis.call('EXPIRE', KEYS[5], BUDGET_SECONDS.month)
end
count_usage(call[1], {ARGV[8], ARGV[9]}, call[4], call[7], model, call[8], call[9], counters)
trace_call(call[10], call[4] .. ' ' .. model .. ' ' .. spent .. ' tokens' .. (how == 'given_up' and ', estimated' or ''))
return 1
