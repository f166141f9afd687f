-- Notifications of a tenant's users. Needs tenant.lua and events.lua.
-- What is for the whole tenant stands once in the tenant's stream, and is handed to each user when that user is looked
-- at: `seen` in the user's hash says how far. The hash also owns the user's event log. Beside it stand the bodies of the
-- events (`:bodies`), their order and their ends (`:order`, `:expiry`), and what was acknowledged (`:acks`), all by id.
local MOST, KEPT_SECONDS = 500, 31 * 86400
local WIDE = 'orchestrator:notifications:' .. TENANT

local function reader_key(user) return WIDE .. ':' .. user end

local function forget_notification(reader, id)
  redis.call('HDEL', reader .. ':bodies', id)
  redis.call('ZREM', reader .. ':order', id)
  redis.call('ZREM', reader .. ':expiry', id)
  redis.call('HDEL', reader .. ':acks', id)
end

-- Keep a notification for a user, and tell the user's sockets; returns 0 where it is kept already.
local function deliver_notification(user, id, body, created, expires)
  local reader = reader_key(user)
  if redis.call('HSETNX', reader .. ':bodies', id, body) == 0 then return 0 end
  redis.call('ZADD', reader .. ':order', created, id)
  redis.call('ZADD', reader .. ':expiry', expires, id)
  if redis.call('ZCARD', reader .. ':order') > MOST then
    forget_notification(reader, redis.call('ZRANGE', reader .. ':order', 0, 0)[1])
  end
  append_to(reader, 'notifications:' .. user, 'system.notification', body)
  return 1
end

-- Bring a user up to date: what has expired goes, what is for the whole tenant comes. The log begins with `epoch`.
local function collect_notifications(user, epoch)
  local reader = reader_key(user)
  if redis.call('HSETNX', reader, 'epoch', epoch) == 1 then redis.call('HSET', reader, 'offset', 0) end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', reader .. ':expiry', '-inf', NOW)) do forget_notification(reader, id) end
  local seen = redis.call('HGET', reader, 'seen')
  for _, entry in ipairs(redis.call('XRANGE', WIDE, seen and '(' .. seen or '-', '+')) do
    local said = entry[2]
    if tonumber(said[8]) > NOW then deliver_notification(user, said[2], said[4], said[6], said[8]) end
    redis.call('HSET', reader, 'seen', entry[1])
  end
end

-- Nothing is kept of a user for longer than any notification lives.
local function prolong_reader(user)
  for _, suffix in ipairs({'', ':bodies', ':order', ':expiry', ':acks'}) do
    redis.call('EXPIRE', reader_key(user) .. suffix, KEPT_SECONDS)
  end
end
