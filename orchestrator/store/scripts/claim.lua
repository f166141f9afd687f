-- Claim the next tasks of a tenant, high lane first. Every claim raises the task's attempt, which is its fencing token.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 node, 4 how many
-- Returns: {1 if there may be more, {entry, lane, task record, session record}…}
-- Complexity: O(tasks claimed)
--!include tenant
--!include queue
--!include hand_out
local node, wanted = ARGV[3], tonumber(ARGV[4])
local state = redis.call('HGET', CONFIG, 'state')
local claimed, more = {0}, 0
if state == 'paused' or state == 'drained' then return claimed end
for _, lane in ipairs(LANES) do
  local stream = lane_key(lane)
  if wanted > 0 and redis.call('EXISTS', stream) == 1 then
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, node, 'COUNT', wanted, 'STREAMS', stream, '>')
    if read and read.err then
      redis.call('XGROUP', 'CREATE', stream, GROUP, '0')
      read = redis.call('XREADGROUP', 'GROUP', GROUP, node, 'COUNT', wanted, 'STREAMS', stream, '>')
    end
    for _, item in ipairs(read and read[1][2] or {}) do
      wanted = wanted - 1
      local task = hand_out(lane, item[1], item[2], node)
      if task then claimed[#claimed + 1] = task end
    end
  end
end
if wanted == 0 then claimed[1] = 1 end
return claimed
