#!lua flags=allow-oom
-- Set when open calls of the gateway are looked at, if they have not ended by then.
-- KEYS: 1 the tenant's queue, 2 the tenant's open calls
-- ARGV: 1 tenant, 2 events kept, 3 in how many ms, 4… calls
-- Returns: how many of them are open
-- Complexity: O(calls)
--!include common/tenant
local open_calls = KEYS[2]
local delay_ms = ARGV[3]
local FIRST_CALL = 4

local open = 0
for at = FIRST_CALL, #ARGV do
  local call_id = ARGV[at]
  if redis.call('ZSCORE', open_calls, call_id) then
    redis.call('ZADD', open_calls, NOW + delay_ms, call_id)
    open = open + 1
  end
end
return open
