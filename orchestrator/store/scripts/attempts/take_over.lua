-- Take over tasks whose worker is gone or has been silent for too long.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node that takes, 4 how many, 5 least silence (ms), 6 node that is gone, or '' for any
-- Returns: {1 if there may be more, {entry, lane, task record, session record}…}
-- Complexity: O(tasks taken) and a look at each lane's pending entries
--!include common/tenant
--!include tasks/entries
--!include tasks/hand_out
local node, wanted = ARGV[3], tonumber(ARGV[4])
local taken = {0}
for _, lane in ipairs(LANES) do
  local stream = lane_key(lane)
  if wanted > 0 and redis.call('EXISTS', stream) == 1 then
    local pending
    if ARGV[6] == '' then
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', ARGV[5], '-', '+', wanted)
    else
      pending = redis.pcall('XPENDING', stream, GROUP, 'IDLE', ARGV[5], '-', '+', wanted, ARGV[6])
    end
    if not pending.err then
      for _, item in ipairs(pending) do
        local entries = redis.call('XCLAIM', stream, GROUP, node, ARGV[5], item[1])
        for _, entry in ipairs(entries) do
          wanted = wanted - 1
          local task = hand_out(lane, entry[1], entry[2], node, 'taken_over')
          if task then taken[#taken + 1] = task end
        end
      end
    end
  end
end
if wanted == 0 then taken[1] = 1 end
return taken
