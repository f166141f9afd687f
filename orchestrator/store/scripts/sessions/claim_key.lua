-- Bind an idempotency key to a request, where no request has it yet.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 digest of the request, 4 seconds that idempotency is kept
-- Returns: {'ok'}; {'replayed', answer} where the same request has been answered; {'reused'} where another one came with it
-- Complexity: O(1)
local known = redis.call('HMGET', KEYS[2], 'digest', 'answer')
if not known[1] then
  redis.call('HSET', KEYS[2], 'digest', ARGV[3])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  return {'ok'}
end
if known[1] ~= ARGV[3] then return {'reused'} end
-- The same request is still at work, or has failed: it is done again, and whoever does the work does it once.
if not known[2] then return {'ok'} end
return {'replayed', known[2]}
