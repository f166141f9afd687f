-- Look at a batch.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch
-- Returns: {how many of its items run, field, value…}, or {} if there is no such batch
-- Complexity: O(items that are tasks at once)
--!include tenant
--!include queue
local batch = batch_key(ARGV[3])
local record = redis.call('HGETALL', batch)
if #record == 0 then return {} end
local running = 0
for _, index in ipairs(redis.call('SMEMBERS', batch .. ':window')) do
  if redis.call('HGET', task_key(ARGV[3] .. '.' .. index), 'status') ~= 'pending' then running = running + 1 end
end
table.insert(record, 1, running)
return record
