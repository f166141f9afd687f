#!lua flags=allow-oom
-- Take over tasks whose worker is gone, or has not renewed their leases.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node that takes, 4 how many, 5 node that is gone and loses all that it holds, or '',
--       6… lane, entry, process that holds it, moment of its last renewal (ms) of each lease that is lost
-- Returns: {1 if there may be more, what hand_out.lua says of each…}
-- Complexity: O(tasks taken) and a look at each lane's pending entries
--!include common/tenant
--!include tasks/entries
--!include tasks/hand_out
local node, wanted, gone = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local FIRST_LEASE = 6
-- A renewal moves the moment by seconds; the clock of a reply and that of a lease may differ by less.
local SLACK_MS = 100

local reply = {0}
local function take(lane, entry)
  -- A dead process is silent whatever the clock says: no idleness is asked for.
  for _, item in ipairs(redis.call('XCLAIM', lane_key(lane), GROUP, node, 0, entry)) do
    local claimed, fields = unpack(item)
    wanted = wanted - 1
    reply[#reply + 1] = hand_out(lane, claimed, fields, node, 'taken_over')
  end
end

if gone ~= '' then
  for _, lane in ipairs(LANES) do
    local pending = wanted > 0 and redis.pcall('XPENDING', lane_key(lane), GROUP, '-', '+', wanted, gone) or {}
    for _, held in ipairs(pending.err and {} or pending) do take(lane, held[1]) end
  end
end
for i = FIRST_LEASE, #ARGV, 4 do
  local lane, entry, holder, renewed_at = unpack(ARGV, i, i + 3)
  local held = wanted > 0 and redis.pcall('XPENDING', lane_key(lane), GROUP, entry, entry, 1) or {}
  local lease = not held.err and held[1]
  if lease and lease[2] == holder and math.abs(NOW - lease[3] - renewed_at) <= SLACK_MS then take(lane, entry) end
end
if wanted == 0 then reply[1] = 1 end
return reply
