-- Give a session another agent. A turn that is queued or running keeps its agent, so there must be none.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 session, 4 user, 5 '1' if the user sees the whole tenant, 6 agent,
--       7 version that always answers, or '', 8 body of session.state_update with @state and @code for what they are
-- Returns: {'unknown'}, {'closed', state}, {'busy', active task} or {'ok', state}
-- Complexity: O(1)
--!include common/tenant
--!include common/events
local session_id, user, sees_all, agent_id = ARGV[3], ARGV[4], ARGV[5] == '1', ARGV[6]
local pinned_version, template = ARGV[7], ARGV[8]
local CODES = {CREATED = 10, ACTIVE = 20, ERROR = 40, PAUSED = 50, SUSPENDED = 60}

local session = session_key(session_id)
local state, owner, active, expires_at =
  unpack(redis.call('HMGET', session, 'state', 'user_id', 'active_task_id', 'expires_at'))
if not state or (owner ~= user and not sees_all) then return {'unknown'} end
if state == 'TERMINATED' or state == 'ARCHIVED' or state == 'FAILED' then return {'closed', state} end
if expires_at and tonumber(expires_at) <= NOW then return {'closed', 'expired'} end
if active or state == 'PROCESSING' then return {'busy', active or ''} end
redis.call('HSET', session, 'agent_id', agent_id, 'updated_at', NOW)
-- The version of the last turn was another agent's.
redis.call('HDEL', session, 'agent_version', 'pinned_version')
if pinned_version ~= '' then redis.call('HSET', session, 'pinned_version', pinned_version) end
local body = string.gsub(template, '"@(%l+)"', {state = '"' .. state .. '"', code = tostring(CODES[state])})
append_event(session_id, 'session.state_update', body)
return {'ok', state}
