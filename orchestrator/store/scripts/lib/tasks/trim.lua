-- Bounded trimming of lists of what has expired: what a tenant leaves behind goes in steps that hold up no other.
local TRIMMED_AT_ONCE = 2000

-- Take the oldest members of a sorted set by moment out, as far as they are of before the moment.
local function trim(list, before)
  local count = redis.call('ZCOUNT', list, '-inf', before)
  if count > 0 then redis.call('ZREMRANGEBYRANK', list, 0, math.min(count, TRIMMED_AT_ONCE) - 1) end
end
