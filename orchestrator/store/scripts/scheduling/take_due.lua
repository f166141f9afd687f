#!lua flags=allow-oom
-- Take the tenants out that have something due. By Redis' clock, so that those of the processes need not agree.
-- KEYS: 1 tenants by the moment (ms) of what is due next
-- ARGV: 1 how many at most
-- Returns: {ms until the next one of the others is due or -1, tenant…}
-- Complexity: O(tenants taken)
local due = KEYS[1]
local count = ARGV[1]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
local taken = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, count)
if #taken > 0 then redis.call('ZREM', due, unpack(taken)) end
local next_due = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
return {next_due and math.max(0, math.ceil(next_due - now)) or -1, unpack(taken)}
