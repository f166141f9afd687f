-- Take an entry out of its lane that belongs to no task; one without a task record goes to the dead letters.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 lane, 4 entry
-- Returns: 1 if it was mended, 0 if there was nothing to mend any more
-- Complexity: O(1)
--!include common/tenant
--!include common/sealed
--!include common/dead_letters
local lane, entry = ARGV[3], ARGV[4]
local ID_BYTES, MESSAGE_BYTES = 200, 4096  -- the fields of an external entry may be of any length

local stream = lane_key(lane)
local item = redis.call('XRANGE', stream, entry, entry)[1]
if not item then return 0 end
local named, fields = {}, item[2]
for i = 1, #fields, 2 do named[fields[i]] = fields[i + 1] end
local status, recorded_entry
if named.task_id then status, recorded_entry = unpack(redis.call('HMGET', task_key(named.task_id), 'status', 'entry')) end
if status and recorded_entry == entry then return 0 end
if not status then
  dead_letter('task_id', string.sub(named.task_id or '', 1, ID_BYTES),
    'message', is_sealed(named.message) and named.message or string.sub(named.message or '', 1, MESSAGE_BYTES), 'reason', 'the entry has no task record', 'at', NOW)
end
redis.pcall('XACK', stream, GROUP, entry)
redis.call('XDEL', stream, entry)
return 1
