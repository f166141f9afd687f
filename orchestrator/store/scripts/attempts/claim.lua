#!lua flags=allow-oom
-- Claim the next tasks of a tenant. Every claim raises the task's attempt, which is its fencing token.
-- KEYS: 1 the tenant's queue, 2 the rate of starts (GCRA)
-- ARGV: 1 tenant, 2 events kept, 3 node, 4 how many
-- Returns: {1 if there may be more, ms until the rate allows the next or 0, entries read, what
--          hand_out.lua says of each…}. A tenant at its bound of running tasks has no more; the end of one of them says so
--          again.
-- Complexity: O(tasks claimed)
--!include common/tenant
--!include tasks/entries
--!include common/gcra
--!include common/limits
--!include tasks/depth
--!include tasks/lanes
--!include tasks/hand_out
local start_rate_key = KEYS[2]
local node, wanted = ARGV[3], tonumber(ARGV[4])

local state, concurrency, start_rate, drain, deadline =
  unpack(redis.call('HMGET', CONFIG, 'state', 'concurrency', 'start_rate', 'drain', 'drain_deadline'))
concurrency, start_rate = configured(concurrency), configured(start_rate)
local reply = {0, 0, 0}
if state == 'paused' or state == 'drained' then return reply end
if state == 'draining' and (drain == 'discard' or drain == 'resuming' or NOW >= (tonumber(deadline) or NOW + 1)) then
  return reply
end
local allowed = wanted
if concurrency then allowed = math.min(allowed, concurrency - tasks_in_hand()) end
if allowed <= 0 then return reply end
local wait_ms, tat = 0, nil
if start_rate then
  -- The tasks of one second may start at once.
  local burst_ms = math.max(1, 1 / start_rate) * 1000
  tat = arrival(start_rate_key, start_rate, 1, 1)
  local starts = math.max(0, math.floor((NOW + burst_ms - tat) * start_rate / 1000 + 0.000001))
  if starts < allowed then
    allowed = starts
    wait_ms = math.max(1, math.ceil(tat + (starts + 1) * 1000 / start_rate - burst_ms - NOW))
  end
end
local read = allowed == 0 and 0 or read_lanes(node, allowed, function(lane, entry, fields)
  reply[#reply + 1] = hand_out(lane, entry, fields, node, 'claimed')
end)
if start_rate and read > 0 then gcra_write(start_rate_key, tat + read * 1000 / start_rate) end
if read < allowed then wait_ms = 0 end
reply[1], reply[2], reply[3] = (read == wanted or users_moved_up) and 1 or 0, wait_ms, read
return reply
