-- Set or remove what is configured of a tenant.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3… name, value ('' removes it)
-- Returns: 1
-- Complexity: O(fields)
--!include common/tenant
local FIRST_FIELD = 3

for i = FIRST_FIELD, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if value == '' then
    redis.call('HDEL', CONFIG, name)
  else
    redis.call('HSET', CONFIG, name, value)
  end
end
return 1
