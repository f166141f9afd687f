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
local day = string.gsub(string.sub(moment_of(NOW), 1, 10), '-', '')
local user, session = ARGV[8], ARGV[9]
local task = (user == '' or session == '') and task_of(ARGV[10])
if task then
  local known = redis.call('HMGET', task_key(task), 'user_id', 'session_id')
  if user == '' then user = known[1] or '' end
  if session == '' then session = known[2] or '' end
end
count_usage(day, {ARGV[3], ARGV[4]}, ARGV[5], ARGV[6], ARGV[7], user, session, {'requests', 1, 'cached', 1})
trace_call(ARGV[10], ARGV[5] .. ' ' .. ARGV[7] .. ' from the cache')
return 1
