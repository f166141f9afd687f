-- Reading the lanes of a tenant. Needs tenant.lua.
-- A task of a lower lane goes before one of a higher lane that came so many ms later, so no lane starves.
local HEAD_START = {high = 0, normal = 5000, low = 30000}
local CURSORS = QUEUE .. ':cursors'

local function read_lane(lane, node, count)
  local stream = lane_key(lane)
  local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, node, 'COUNT', count, 'STREAMS', stream, '>')
  if read and read.err then
    redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
    read = redis.call('XREADGROUP', 'GROUP', GROUP, node, 'COUNT', count, 'STREAMS', stream, '>')
  end
  return read and read[1][2] or {}
end

-- Return the moment (ms) by which the first unclaimed entry of a lane is ordered; nil where there is none.
local function turn_of(lane)
  local cursor = redis.call('HGET', CURSORS, lane)
  local head = redis.call('XRANGE', lane_key(lane), cursor and '(' .. cursor or '-', '+', 'COUNT', 1)[1]
  if not head then return nil end
  local entry = head[1]
  return tonumber(string.match(entry, '^%d+')) + HEAD_START[lane]
end

-- Claim up to `wanted` entries; calls `take(lane, entry, fields)` for each, in the order of their turns.
local function read_lanes(node, wanted, take)
  local lanes = {}
  for _, lane in ipairs(LANES) do
    if redis.call('EXISTS', lane_key(lane)) == 1 then lanes[#lanes + 1] = lane end
  end
  local count = 0
  while count < wanted and #lanes > 0 do
    local best, turn, batch = nil, nil, 1
    if #lanes == 1 then
      best, batch = 1, wanted - count
    else
      for i, lane in ipairs(lanes) do
        local candidate = turn_of(lane)
        if candidate and (not turn or candidate < turn) then best, turn = i, candidate end
      end
      if not best then return count end
    end
    local lane = lanes[best]
    local items = read_lane(lane, node, batch)
    for _, item in ipairs(items) do
      local entry, fields = unpack(item)
      take(lane, entry, fields)
    end
    -- What was claimed is handed out, whatever is wrong with the cursors: they only say where to look for the next one.
    if #items > 0 then redis.pcall('HSET', CURSORS, lane, items[#items][1]) end
    count = count + #items
    if #items < batch then table.remove(lanes, best) end
  end
  return count
end
