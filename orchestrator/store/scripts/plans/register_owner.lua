#!lua flags=allow-oom
-- Have something belong to a user, or a run to a task, for some time from now on. A turn registers its conversation before it ends, so this runs also
-- where Redis is out of memory.
-- KEYS: 1 the tenant's queue, 2 the owner's place
-- ARGV: 1 tenant, 2 events kept, 3 user or task, 4 seconds
-- Returns: 1, or 0 where it is another's, or what stands in that place can't be read
-- Complexity: O(1)
local place, owner, seconds = KEYS[2], ARGV[3], ARGV[4]

local holder = redis.pcall('GET', place)
if holder and holder ~= owner then return 0 end
redis.call('SET', place, owner, 'EX', seconds)
return 1
