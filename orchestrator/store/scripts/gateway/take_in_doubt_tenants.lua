#!lua flags=allow-oom
-- Take tenants whose open calls are to be looked at. They stay in the list, for later: the process that takes them may die.
-- By Redis' clock.
-- KEYS: 1 tenants by the moment (ms) at which their calls are looked at
-- ARGV: 1 how many at most, 2 for how long (ms)
-- Returns: {ms until the next one of the others is due or -1, the moment at which those taken are due again, tenant…}
-- Complexity: O(tenants taken)
local tenants = KEYS[1]
local count, hold_ms = ARGV[1], ARGV[2]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
local taken = redis.call('ZRANGEBYSCORE', tenants, '-inf', now, 'LIMIT', 0, count)
for _, tenant in ipairs(taken) do redis.call('ZADD', tenants, now + hold_ms, tenant) end
local next_due = redis.call('ZRANGE', tenants, 0, 0, 'WITHSCORES')[2]
return {next_due and math.max(0, math.ceil(next_due - now)) or -1, now + hold_ms, unpack(taken)}
