#!lua flags=allow-oom
-- Give the log of a session, a task or a batch another epoch: its tail was lost, so offsets that clients have may come again.
-- KEYS: 1 the tenant's queue, 2 the log's owner
-- ARGV: 1 tenant, 2 events kept, 3 an offset that the log once had, 4 the epoch of that offset, or '', 5 the next epoch
-- Returns: 1 if the epoch was renewed, 0 if the log still has the offset, has another epoch already, or has no owner
-- Complexity: O(1)
local owner, known_offset, known_epoch, next_epoch = KEYS[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local epoch, offset = unpack(redis.call('HMGET', owner, 'epoch', 'offset'))
if not epoch or (known_epoch ~= '' and epoch ~= known_epoch) then return 0 end
if known_epoch ~= '' and tonumber(offset or 0) >= known_offset then return 0 end
redis.call('HSET', owner, 'epoch', next_epoch)
return 1
