#!lua flags=allow-oom
-- Take over tasks whose worker is gone or has been silent for too long; or those of the node itself that it does not have in
-- hand, because the reply that handed them out was lost.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node that takes, 4 how many, 5 least silence (ms), 6 node whose they are, or '' for
--       any, 7… lane and entry of each task that it has in hand: those are left alone
-- Returns: {1 if there may be more, {entry, lane, task record, session record}…}
-- Complexity: O(tasks taken + tasks in hand) and a look at each lane's pending entries
--!include common/tenant
--!include tasks/entries
--!include tasks/hand_out
local node, wanted, silence_ms, owner = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local FIRST_IN_HAND = 7

local in_hand, most = {}, wanted + (#ARGV - FIRST_IN_HAND + 1) / 2
for at = FIRST_IN_HAND, #ARGV, 2 do in_hand[ARGV[at] .. ' ' .. ARGV[at + 1]] = true end
local reply = {0}
for _, lane in ipairs(LANES) do
  local stream = lane_key(lane)
  if wanted > 0 and redis.call('EXISTS', stream) == 1 then
    local pending
    if owner == '' then
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', silence_ms, '-', '+', most)
    else
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', silence_ms, '-', '+', most, owner)
    end
    for _, held in ipairs(pending.err and {} or pending) do
      local is_left = wanted == 0 or in_hand[lane .. ' ' .. held[1]]
      for _, item in ipairs(is_left and {} or redis.call('XCLAIM', stream, GROUP, node, silence_ms, held[1])) do
        local entry, fields = unpack(item)
        wanted = wanted - 1
        reply[#reply + 1] = hand_out(lane, entry, fields, node, 'taken_over')
      end
    end
  end
end
if wanted == 0 then reply[1] = 1 end
return reply
