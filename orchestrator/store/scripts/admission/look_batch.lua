-- Read a batch.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 batch, 4 user, 5 '1' if the user sees the whole tenant
-- Returns: {how many of its items run, field, value…, then those of its callback's task, with 'callback:' before each name}, or
--          {} if there is no such batch that the user may see
-- Complexity: O(items that are tasks at once)
--!include common/tenant
--!include tasks/queue
local batch_id, user, sees_all = ARGV[3], ARGV[4], ARGV[5] == '1'

local batch = batch_key(batch_id)
-- What is another user's takes no more commands than what is not there.
if redis.call('HGET', batch, 'user_id') ~= user and not sees_all then return {} end
local record = redis.call('HGETALL', batch)
if #record == 0 then return {} end
local running = 0
for _, index in ipairs(redis.call('SMEMBERS', batch .. ':window')) do
  -- An item that can't be read is told where it is claimed.
  if redis.pcall('HGET', task_key(batch_id .. '.' .. index), 'status') ~= 'pending' then running = running + 1 end
end
local callback = redis.call('HGET', batch, 'callback_task')
for _, name in ipairs(callback and {'status', 'attempt', 'error', 'retry_error', 'claimed_at'} or {}) do
  local value = redis.pcall('HGET', task_key(callback), name)
  if type(value) == 'string' then
    record[#record + 1] = 'callback:' .. name
    record[#record + 1] = value
  end
end
table.insert(record, 1, running)
return record
