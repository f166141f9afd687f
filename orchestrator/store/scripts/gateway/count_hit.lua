-- Count a call of the gateway that was answered from the cache, and so has spent nothing.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 seconds that usage by agent and model is kept, 4 by user and session, 5 kind, 6 agent,
--       7 model, 8 user or '', 9 session or '', 10 correlation id
-- Returns: 1
-- Complexity: O(1)
--!include common/tenant
--!include common/moments
--!include common/trace
--!include gateway/gateway
local kept_seconds, payer_seconds, kind, agent, model = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local user, session, correlation = ARGV[8], ARGV[9], ARGV[10]

local day = string.gsub(string.sub(moment_of(NOW), 1, 10), '-', '')
user, session = payer_of(correlation, user, session)
local call = {kind = kind, agent = agent, model = model, user = user, session = session}
count_usage(day, call, {'requests', 1, 'cached', 1}, kept_seconds, payer_seconds)
trace_call(correlation, user, kind .. ' ' .. model .. ' from the cache')
return 1
