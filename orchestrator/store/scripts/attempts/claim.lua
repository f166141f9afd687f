-- Claim the next tasks of a tenant. Every claim raises the task's attempt, which is its fencing token.
-- KEYS: 1 the tenant's queue, 2 the rate of starts (GCRA)
-- ARGV: 1 tenant, 2 events kept, 3 node, 4 how many
-- Returns: {1 if there may be more, ms until the rate allows the next or 0, entries read, {entry, lane, task record,
--          session record} or {entry, lane, fields of an entry without record}…}. A tenant at its bound of tasks in hand has no more; the end of one of them says so again.
-- Complexity: O(tasks claimed)
--!include common/tenant
--!include tasks/entries
--!include common/gcra
--!include common/config
--!include tasks/lanes
--!include tasks/hand_out
local node, wanted = ARGV[3], tonumber(ARGV[4])
local config = redis.call('HMGET', CONFIG, 'state', 'concurrency', 'start_rate', 'drain', 'drain_deadline')
local claimed = {0, 0, 0}
if config[1] == 'paused' or config[1] == 'drained' then return claimed end
if config[1] == 'draining' and (config[4] == 'discard' or config[4] == 'resuming' or NOW >= tonumber(config[5] or NOW + 1)) then
  return claimed
end
local asked = wanted
if config[2] then asked = math.min(asked, tonumber(config[2]) - tasks_in_hand()) end
if asked <= 0 then return claimed end
if config[3] then
  -- One second's worth may start at once.
  local allowed = 0
  while allowed < asked do
    local tat, wait = gcra(KEYS[2], config[3], 1, allowed + 1)
    if not tat then
      claimed[2] = wait
      break
    end
    allowed = allowed + 1
  end
  asked = allowed
end
local read = asked == 0 and 0 or read_lanes(node, asked, function(lane, entry, fields)
  local task = hand_out(lane, entry, fields, node, 'claimed')
  if task then claimed[#claimed + 1] = task end
end)
if config[3] and read > 0 then gcra_write(KEYS[2], (gcra(KEYS[2], config[3], 1, read))) end
claimed[3] = read
if read == wanted or users_moved_up then claimed[1] = 1 end
if read < asked then claimed[2] = 0 end
return claimed
