-- Create a batch whose items lie ready: idempotency, tenant, queue bound, record, first items: all of it or nothing.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 digest of the request, 5 items, 6 default of queue_length,
--       7 items that may be tasks at once, 8 seconds that idempotency is kept, 9 moment (ms) at which it begins, or '',
--       10… field, value of the record
-- Returns: {'ok'}, {'replayed', batch}, {'reused'}, {'tenant', state}, {'full'}, {'moment'} (it is past, or more than a year
--       ahead), or {'unstaged'} where items are missing
-- Complexity: O(items that become tasks, open batches)
--!include common/tenant
--!include common/events
--!include tasks/queue
--!include common/config
local batch_id, total = ARGV[3], tonumber(ARGV[5])
local batch = batch_key(batch_id)
local FARTHEST = 366 * 86400 * 1000

local function refusal()
  local known = redis.call('HMGET', KEYS[2], 'digest', 'answer')
  if known[1] == ARGV[4] then return {'replayed', known[2]} end
  if known[1] then return {'reused'} end
  local moment = tonumber(ARGV[9])
  if moment and (moment <= NOW or moment > NOW + FARTHEST) then return {'moment'} end
  local intake = redis.call('HGET', CONFIG, 'state')
  if intake == 'draining' or intake == 'drained' then return {'tenant', intake} end
  if redis.call('HLEN', batch .. ':items') ~= total then return {'unstaged'} end
  local waiting = queue_length()
  for _, count in ipairs(redis.call('HVALS', BATCHES .. ':waiting')) do waiting = waiting + count end
  if waiting + total > limit_of('queue_length', ARGV[6]) then return {'full'} end
end

local refused = refusal()
if refused then
  redis.call('DEL', batch .. ':items')
  return refused
end
redis.call('HSET', KEYS[2], 'digest', ARGV[4], 'answer', batch_id)
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('PERSIST', batch .. ':items')
redis.call('HSET', batch, 'batch_id', batch_id, 'status', 'running', 'total', total, 'started', 0, 'completed', 0,
  'failed', 0, 'cancelled', 0, 'offset', 0, 'told_at', NOW, 'created_at', NOW, unpack(ARGV, 10))
if ARGV[9] ~= '' then redis.call('HSET', batch, 'scheduled_for', ARGV[9]) end
-- Batches whose records have gone leave the list, a few with each one that comes.
for _, old in ipairs(redis.call('ZRANGE', BATCHES, 0, 1)) do
  if redis.call('EXISTS', batch_key(old)) == 0 then redis.call('ZREM', BATCHES, old) end
end
redis.call('ZADD', BATCHES, NOW, batch_id)
redis.call('HSET', BATCHES .. ':waiting', batch_id, total)
for _ = 1, ARGV[7] do next_item(batch_id) end
return {'ok'}
