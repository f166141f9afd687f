-- Give a session another agent. A turn that is queued or running keeps the one it was asked of, so there must be none.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 agent,
--       7 version that always answers, or '', 8 body of session.state_update with @state and @code for what they are
-- Returns: {'unknown'}, {'closed', state}, {'busy', active task} or {'ok', state}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
local CODES = {CREATED = 10, ACTIVE = 20, ERROR = 40, PAUSED = 50, SUSPENDED = 60}
local session = session_key(ARGV[3])
local found = redis.call('HMGET', session, 'state', 'user_id', 'active_task_id', 'expires_at')
local state = found[1]
if not state or (found[2] ~= ARGV[4] and ARGV[5] ~= '1') then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
if found[4] and tonumber(found[4]) <= NOW then return {'closed', 'expired'} end
if found[3] or state == 'PROCESSING' then return {'busy', found[3] or ''} end
redis.call('HSET', session, 'agent_id', ARGV[6], 'updated_at', NOW)
-- The version of the last turn was another agent's.
redis.call('HDEL', session, 'agent_version', 'pinned_version')
if ARGV[7] ~= '' then redis.call('HSET', session, 'pinned_version', ARGV[7]) end
local body = string.gsub(ARGV[8], '"@(%l+)"', {state = '"' .. state .. '"', code = tostring(CODES[state])})
append_event(ARGV[3], 'session.state_update', body)
return {'ok', state}
