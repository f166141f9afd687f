#!lua flags=allow-oom
-- Change the API keys: put a key in, replace one, take one out; tell all processes. By Redis' clock.
-- KEYS: 1 the hash of keys, 2 the hash of their last uses
-- ARGV: 1 the channel, 2 most keys, 3 the key that must be there ('' none), 4 its new record ('' takes it out),
--       5 the key to put in ('' none), 6 its record, 7 ms after which an expired key is forgotten
-- Returns: 'ok'; 'unknown' where the key is not there, 'full' where there are as many as there may be
-- Complexity: O(keys), of which there are few
local keys, used = KEYS[1], KEYS[2]
local channel, most, old_id, old_record = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local new_id, new_record, forgotten_after_ms = ARGV[5], ARGV[6], tonumber(ARGV[7])

if old_id ~= '' and redis.call('HEXISTS', keys, old_id) == 0 then
  return 'unknown'
end
if new_id ~= '' then
  local now = tonumber(redis.call('TIME')[1]) * 1000
  local all = redis.call('HGETALL', keys)
  for place = 1, #all, 2 do
    local readable, record = pcall(cjson.decode, all[place + 1])
    local expires = readable and type(record) == 'table' and tonumber(record.expires_ms)
    if expires and expires + forgotten_after_ms < now and all[place] ~= old_id then
      redis.call('HDEL', keys, all[place])
      redis.call('HDEL', used, all[place])
    end
  end
  if redis.call('HLEN', keys) >= most then
    return 'full'
  end
  redis.call('HSET', keys, new_id, new_record)
end
if old_id ~= '' then
  if old_record == '' then
    redis.call('HDEL', keys, old_id)
    redis.call('HDEL', used, old_id)
  else
    redis.call('HSET', keys, old_id, old_record)
  end
end
redis.call('PUBLISH', channel, 'changed')
return 'ok'
