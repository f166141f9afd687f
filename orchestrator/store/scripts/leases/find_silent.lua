-- Find leases that were not renewed for some time.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 how many of each lane at most, 4 least silence (ms), 5 the process that holds
--       them, if one alone is meant
-- Returns: {{lane, entry, process that holds it, moment of its last renewal (ms), silence (ms)}…}
-- Complexity: O(pending entries of each lane)
--!include common/tenant
local most, silence_ms, holder_wanted = ARGV[3], ARGV[4], ARGV[5]

local of_one, reply = {holder_wanted}, {}
for _, lane in ipairs(LANES) do
  local pending = redis.pcall('XPENDING', lane_key(lane), GROUP, 'IDLE', silence_ms, '-', '+', most, unpack(of_one))
  for _, held in ipairs(pending.err and {} or pending) do
    local entry, holder, idle = unpack(held)
    reply[#reply + 1] = {lane, entry, holder, NOW - idle, idle}
  end
end
return reply
