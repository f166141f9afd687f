-- Ask a service for something through its queue. What was put there is never trimmed: a full queue takes no more, once
-- requests whose time is over have been cleared from its head.
-- KEYS: 1 the queue of the service for one tenant
-- ARGV: 1 the most entries that it may have, 2 ms until nobody waits for the answer any more, 3 the message
-- Returns: the entry's id; or nil: the queue is full
-- Complexity: O(1); of a full queue O(requests cleared), at most 100
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  local cleared = 0
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 100)) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'deadline' and tonumber(entry[2][i + 1]) < now then
        cleared = cleared + redis.call('XDEL', KEYS[1], entry[1])
      end
    end
  end
  if cleared == 0 then
    return nil
  end
end
return redis.call('XADD', KEYS[1], '*', 'deadline', string.format('%.0f', now + ARGV[2]), 'message', ARGV[3])
