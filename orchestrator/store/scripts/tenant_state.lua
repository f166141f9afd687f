-- Look at a tenant's state and work, or change the state; a draining tenant whose last work is done becomes drained.
-- Turns that wait in a session need no look: while one waits, its session's active task is in a lane or delayed.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 new state (active, paused, draining) or ''
-- Returns: {state, queued, in hand, delayed, dead letters, previous state}
-- Complexity: O(1)
--!include tenant
--!include config
local previous = redis.call('HGET', CONFIG, 'state') or 'active'
local state = ARGV[3] ~= '' and ARGV[3] or previous
local length, in_hand = queue_length(), tasks_in_hand()
local delayed = redis.call('ZCARD', DELAYED)
if state == 'draining' and length + delayed == 0 then state = 'drained' end
if state ~= previous then redis.call('HSET', CONFIG, 'state', state) end
return {state, length - in_hand, in_hand, delayed, redis.call('XLEN', DEAD_LETTERS), previous}
