-- Set or remove what is a tenant's own.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, then name, value of each; an empty value removes
-- Returns: 1
-- Complexity: O(fields)
--!include common/tenant
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', CONFIG, ARGV[i])
  else
    redis.call('HSET', CONFIG, ARGV[i], ARGV[i + 1])
  end
end
return 1
