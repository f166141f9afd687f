-- Take over tasks whose worker is gone or has been silent for too long.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node that takes, 4 how many, 5 least silence (ms), 6 node that is gone, or '' for any
-- Returns: {1 if there may be more, what hand_out.lua says of each…}
-- Complexity: O(tasks taken) and a look at each lane's pending entries
--!include common/tenant
--!include tasks/entries
--!include tasks/hand_out
local node, wanted, silence_ms, gone = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

local reply = {0}
for _, lane in ipairs(LANES) do
  local stream = lane_key(lane)
  if wanted > 0 and redis.call('EXISTS', stream) == 1 then
    local pending
    if gone == '' then
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', silence_ms, '-', '+', wanted)
    else
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', silence_ms, '-', '+', wanted, gone)
    end
    for _, held in ipairs(pending.err and {} or pending) do
      for _, item in ipairs(redis.call('XCLAIM', stream, GROUP, node, silence_ms, held[1])) do
        local entry, fields = unpack(item)
        wanted = wanted - 1
        reply[#reply + 1] = hand_out(lane, entry, fields, node, 'taken_over')
      end
    end
  end
end
if wanted == 0 then reply[1] = 1 end
return reply
