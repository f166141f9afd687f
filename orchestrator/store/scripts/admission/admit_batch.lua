-- Create a batch whose items are staged: idempotency, tenant, queue bound, record, first items: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 digest of the request, 5 items, 6 default of queue_length,
--       7 items that may be tasks at once, 8 seconds that idempotency is kept, 9 moment (ms) at which it begins, or '',
--       10 default of batches, 11 of bytes, 12 bytes of the items, 13… field, value of the record
-- Returns: {'ok'}, {'replayed', batch}, {'reused'}, {'tenant', state}, {'full', name of the quota}, {'moment'} (it is past, or more than a year
--       ahead), or {'unstaged'} where items are missing
-- Complexity: O(items that become tasks, open batches)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include common/limits
--!include tasks/depth
--!include common/kept
local request = KEYS[2]
local batch_id, digest, total, queue_length_default = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local window, idempotency_seconds, scheduled_for = tonumber(ARGV[7]), ARGV[8], ARGV[9]
local batches_default, bytes_default, item_bytes = ARGV[10], ARGV[11], tonumber(ARGV[12])
local FIRST_FIELD = 13
local FARTHEST_MS = 366 * 86400 * 1000

local batch = batch_key(batch_id)
-- Each item stands in the batch, and as a task of its own.
local bytes = 2 * item_bytes + total * OVERHEAD
for i = FIRST_FIELD, #ARGV do bytes = bytes + #ARGV[i] end
local function refusal()
  local known, answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
  if known == digest then return {'replayed', answer} end
  if known then return {'reused'} end
  local moment = tonumber(scheduled_for)
  if moment and (moment <= NOW or moment > NOW + FARTHEST_MS) then return {'moment'} end
  local intake = redis.call('HGET', CONFIG, 'state')
  if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
  if redis.call('HLEN', batch .. ':items') ~= total then return {'unstaged'} end
  if queue_length() + items_waiting() + total > limit_of('queue_length', queue_length_default) then return {'full', 'queue_length'} end
  -- All that have not ended are listed there, a batch whose items all run among them.
  if redis.call('HLEN', BATCHES .. ':waiting') >= limit_of('batches', batches_default) then return {'full', 'batches'} end
  if kept_bytes() + bytes > limit_of('bytes', bytes_default) then return {'full', 'bytes'} end
end

local refused = refusal()
if refused then
  redis.call('DEL', batch .. ':items')
  return refused
end
redis.call('HSET', request, 'digest', digest, 'answer', batch_id)
redis.call('EXPIRE', request, idempotency_seconds)
redis.call('PERSIST', batch .. ':items')
redis.call('HSET', batch, 'batch_id', batch_id, 'status', 'running', 'total', total, 'started', 0, 'completed', 0,
  'failed', 0, 'cancelled', 0, 'offset', 0, 'told_at', NOW, 'created_at', NOW, unpack(ARGV, FIRST_FIELD))
if scheduled_for ~= '' then redis.call('HSET', batch, 'scheduled_for', scheduled_for) end
-- Batches whose records have expired leave the list, up to two with each one that comes.
for _, old in ipairs(redis.call('ZRANGE', BATCHES, 0, 1)) do
  if redis.call('EXISTS', batch_key(old)) == 0 then redis.call('ZREM', BATCHES, old) end
end
redis.call('ZADD', BATCHES, NOW, batch_id)
redis.call('HSET', BATCHES .. ':waiting', batch_id, total)
keep_bytes(bytes, redis.call('HGET', batch, 'retain'))
for _ = 1, window do next_item(batch_id) end
return {'ok'}
