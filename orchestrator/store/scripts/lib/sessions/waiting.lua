-- How many turns wait behind the active one of their session, by session; under '' how many there are in all. Needs tenant.lua.
-- The figure of a session is read from its list after each change, so it can't drift, and the sum moves with it.
local TURNS_WAITING = SESSIONS .. ':turns'

local function count_turns(session_id)
  local waiting = redis.call('LLEN', session_key(session_id) .. ':turns')
  local counted = tonumber(redis.call('HGET', TURNS_WAITING, session_id) or 0)
  if waiting == counted then return end
  if waiting == 0 then
    redis.call('HDEL', TURNS_WAITING, session_id)
  else
    redis.call('HSET', TURNS_WAITING, session_id, waiting)
  end
  redis.call('HINCRBY', TURNS_WAITING, '', waiting - counted)
end

local function turns_waiting() return math.max(0, tonumber(redis.call('HGET', TURNS_WAITING, '') or 0)) end
