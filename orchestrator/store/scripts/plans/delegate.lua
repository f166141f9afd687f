#!lua flags=allow-oom
-- Register a call that is about to be delegated to a service, so that its answer is taken whenever it comes.
-- A call that an earlier attempt has delegated stays as it is; one that may not have arrived gets a further token.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 attempt, 5 call, 6 service, 7 digest of the callback token, 8 ms until it expires
-- Returns: -1 if the attempt is no longer the current one, 1 if the call is to be sent, 0 if its answer is to be waited for
-- Complexity: O(1)
--!include common/tenant
--!include tasks/queue
--!include tasks/waits
local task_id, attempt, call_id, service = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local digest, lifetime_ms = ARGV[7], tonumber(ARGV[8])

if not holds(task_id, attempt) then return -1 end
local task = task_key(task_id)
if redis.call('HEXISTS', task, answer_field(call_id)) == 1 then return 0 end
local delegation = read_delegation(task_id, call_id) or {service = service, execution_id = '', sent = false}
if delegation.sent then return 0 end
delegation.expires_at = NOW + lifetime_ms
redis.call('HSET', task, 'token:' .. digest, call_id)
write_delegation(task_id, call_id, delegation)
return 1
