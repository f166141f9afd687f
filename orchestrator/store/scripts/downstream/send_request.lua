-- Append a request to the queue of a service. The queue is never trimmed: a full one takes no more, once requests whose
-- deadline is over have been cleared from its head.
-- KEYS: 1 the queue of the service for one tenant
-- ARGV: 1 the most entries that it may have, 2 ms until the deadline of the answer, 3 the message
-- Returns: the entry's id; or nil: the queue is full
-- Complexity: O(1); of a full queue O(requests cleared), at most 100
local queue = KEYS[1]
local limit, timeout_ms, message = tonumber(ARGV[1]), ARGV[2], ARGV[3]

local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)
if redis.call('XLEN', queue) >= limit then
  local cleared = 0
  for _, item in ipairs(redis.call('XRANGE', queue, '-', '+', 'COUNT', 100)) do
    local entry, fields = unpack(item)
    for i = 1, #fields, 2 do
      if fields[i] == 'deadline' and tonumber(fields[i + 1]) < now then
        cleared = cleared + redis.call('XDEL', queue, entry)
      end
    end
  end
  if cleared == 0 then
    return nil
  end
end
return redis.call('XADD', queue, '*', 'deadline', string.format('%.0f', now + timeout_ms), 'message', message)
