-- Bind an idempotency key to a request, where no request has it yet.
-- KEYS: 1 the tenant's queue, 2 the idempotency record
-- ARGV: 1 tenant, 2 events kept, 3 digest of the request, 4 seconds that idempotency is kept
-- Returns: {'ok'}; {'replayed', answer} where the same request has been answered; {'reused'} where another one came with it
-- Complexity: O(1)
local request = KEYS[2]
local digest, idempotency_seconds = ARGV[3], ARGV[4]

local known, answer = unpack(redis.call('HMGET', request, 'digest', 'answer'))
if not known then
  redis.call('HSET', request, 'digest', digest)
  redis.call('EXPIRE', request, idempotency_seconds)
  return {'ok'}
end
if known ~= digest then return {'reused'} end
-- The same request is in progress, or has failed: the work is done again, under a key by which its service does it once.
if not answer then return {'ok'} end
return {'replayed', answer}
