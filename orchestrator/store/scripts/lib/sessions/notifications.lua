-- Notifications of a tenant's users. Needs tenant.lua and events.lua.
-- A notification to the whole tenant stands once in the tenant's stream, and is delivered to a user when that user's
-- notifications are read: `seen` in the user's hash says how far. The hash also owns the user's event log. Beside it, by id,
-- are the bodies of the events (`:bodies`), their order (`:order`), their expiry (`:expiry`) and the acknowledgements (`:acks`).
--!include common/dropped
--!include common/sealed
local MOST, KEPT_SECONDS = 500, 31 * 86400
local WIDE = 'orchestrator:notifications:' .. TENANT

local function reader_key(user) return WIDE .. ':' .. user end

local function forget_notification(reader, id)
  redis.call('HDEL', reader .. ':bodies', id)
  redis.call('ZREM', reader .. ':order', id)
  redis.call('ZREM', reader .. ':expiry', id)
  redis.call('HDEL', reader .. ':acks', id)
end

-- Return the line before a body on the channel of all processes. A sealed body does not say whose it is.
local function told_to(user, body)
  return is_sealed(body) and user .. ' ' .. string.gsub(TENANT, '[{}]', '') or user
end

-- Keep a notification for a user, and append it to the user's log; returns 0 where it is kept already.
local function deliver_notification(user, id, body, created, expires)
  local reader = reader_key(user)
  if redis.call('HSETNX', reader .. ':bodies', id, body) == 0 then return 0 end
  redis.call('ZADD', reader .. ':order', created, id)
  redis.call('ZADD', reader .. ':expiry', expires, id)
  if redis.call('ZCARD', reader .. ':order') > MOST then
    note_dropped('notifications', 1)
    forget_notification(reader, redis.call('ZRANGE', reader .. ':order', 0, 0)[1])
  end
  append_to(reader, 'notifications:' .. user, 'system.notification', body)
  return 1
end

-- Bring a user up to date: drop what has expired, deliver what the tenant's stream has. A log that begins has this `epoch`.
-- An entry that is no notification goes, so that it keeps no user from the others.
local function collect_notifications(user, epoch)
  local reader = reader_key(user)
  if redis.call('HSETNX', reader, 'epoch', epoch) == 1 then redis.call('HSET', reader, 'offset', 0) end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', reader .. ':expiry', '-inf', NOW)) do forget_notification(reader, id) end
  local seen = redis.call('HGET', reader, 'seen')
  for _, item in ipairs(redis.call('XRANGE', WIDE, seen and '(' .. seen or '-', '+')) do
    local entry, fields = unpack(item)
    local one = {}
    for i = 1, #fields, 2 do one[fields[i]] = fields[i + 1] end
    local created, expires = tonumber(one.created or ''), tonumber(one.expires or '')
    if not (one.id and one.body and created and expires) then
      note_dropped('unreadable_notifications', redis.call('XDEL', WIDE, entry))
    elseif expires > NOW then
      deliver_notification(user, one.id, one.body, one.created, one.expires)
    end
    redis.call('HSET', reader, 'seen', entry)
  end
end

-- Keep all of a user's keys for as long as any notification may live.
local function prolong_reader(user)
  for _, suffix in ipairs({'', ':bodies', ':order', ':expiry', ':acks'}) do
    redis.call('EXPIRE', reader_key(user) .. suffix, KEPT_SECONDS)
  end
end
