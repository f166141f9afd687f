-- The feed of a tenant: what happens in all of its logs, in one order. Needs tenant.lua.
-- It has references alone, and only while it is followed (open_feed.lua): a reader takes the events from their own logs.
local FEED = 'orchestrator:feed:' .. TENANT
local FEED_LOG, FEED_LENGTH, LENGTH_WITH_PIECES = FEED .. ':events', 1000, 10000
-- What pieces of answers are called here: no reader joins references as it joins pieces.
local PIECE = 'feed.piece'
-- One look a script tells that it is not.
local is_followed = true

-- Append to the feed behind what its record holds. What is wrong with the feed concerns those who follow it, and no one else.
-- `write` returns the body. Pieces of answers are told until the moment (ms) in `pieces`: there are many, and the answer follows.
local function append_to_feed(name, write, epoch, last, pieces)
--!rare
  local has_pieces = (tonumber(pieces) or 0) > NOW
  if name == PIECE and not has_pieces then return end
  local offset, body = string.format('%d', (tonumber(last) or 0) + 1), write()
  local entry = redis.pcall('XADD', FEED_LOG, 'NOMKSTREAM', 'MAXLEN', '~', has_pieces and LENGTH_WITH_PIECES or FEED_LENGTH,
    '0-' .. offset, 'e', epoch, 'n', name, 'b', body)
  if type(entry) ~= 'string' then return end
  redis.call('HSET', FEED, 'offset', offset)
  redis.call('PUBLISH', 'orchestrator:events:' .. TENANT .. ':feed:', offset .. ' ' .. epoch .. ' ' .. name .. '\n' .. body)
end

-- Tell the feed of something, if it is followed; `write` returns the body.
local function tell_feed(name, write)
  if not is_followed then return end
  local epoch, last, pieces = unpack(redis.pcall('HMGET', FEED, 'epoch', 'offset', 'pieces'))
  is_followed = epoch
  if epoch then append_to_feed(name, write, epoch, last, pieces) end
end

-- Tell the feed of an event of a log. Those of users' notifications are left out: each notification is told once, when it is sent.
local function tell_feed_of(owner, id, epoch, offset, name)
  if string.find(owner, 'orchestrator:notifications:', 1, true) then return end
  tell_feed(name == 'chat.stream' and PIECE or name, function()
    local kind, user = string.match(owner, '^orchestrator:(%l+):'), redis.pcall('HGET', owner, 'user_id')
    if type(user) ~= 'string' then user = nil end
    return cjson.encode({kind = kind, id = id, epoch = epoch, offset = tonumber(offset), user_id = user})
  end)
end
