-- How many bytes are kept of a tenant. Needs tenant.lua.
-- What comes in is counted by its size. A walk over all keys measures now and then what they take (`measured`), and keeps what was
-- counted at that moment (`counted`): what has come and gone since is added. Before the first walk there is the count alone.
-- What goes after a known time counts in a bucket, which is named by the moment (ms) from which on it counts no more: a 24th of
-- that time later at most. `open` counts what stays until it is given back, `total` is the sum of the buckets, `next` the
-- moment of the first one. The sum is made anew whenever a bucket ends, so it can't drift.
local KEPT = 'orchestrator:kept:' .. TENANT
local KEPT_SECONDS, OVERHEAD, SHORTEST_MS = 400 * 86400, 1024, 60000

local function count_buckets()
  local flat, total, first = redis.call('HGETALL', KEPT), 0, nil
  for i = 1, #flat, 2 do
    local ends = tonumber(flat[i])
    if ends and ends <= NOW then
      redis.call('HDEL', KEPT, flat[i])
    elseif ends then
      total = total + tonumber(flat[i + 1])
      if not first or ends < first then first = ends end
    end
  end
  redis.call('HSET', KEPT, 'total', string.format('%d', total))
  if first then
    redis.call('HSET', KEPT, 'next', string.format('%d', first))
  else
    redis.call('HDEL', KEPT, 'next')
  end
  return total
end

local function counted_bytes()
  local total, open, first, measured, counted = unpack(redis.call('HMGET', KEPT, 'total', 'open', 'next', 'measured', 'counted'))
  if first and tonumber(first) <= NOW then total = count_buckets() end
  return tonumber(total or 0) + tonumber(open or 0), tonumber(measured or 0) - tonumber(counted or 0)
end

local function kept_bytes()
  local count, more = counted_bytes()
  return math.max(0, count + more)
end

-- Note a bucket that was not there before: the others are in `next`, and have prolonged the key, not long ago.
local function begin_bucket(bucket, ends)
  local first = redis.call('HGET', KEPT, 'next')
  if not first or ends < tonumber(first) then redis.call('HSET', KEPT, 'next', bucket) end
  redis.call('EXPIRE', KEPT, KEPT_SECONDS)
end

-- Count what is kept for so many seconds.
local function keep_bytes(bytes, seconds)
  local life = seconds * 1000
  local width = math.max(SHORTEST_MS, math.floor(life / 24))
  local ends = (math.floor((NOW + life) / width) + 1) * width
  local bucket = string.format('%d', ends)
  local of_bucket = redis.call('HINCRBY', KEPT, bucket, bytes)
  redis.call('HINCRBY', KEPT, 'total', bytes)
  if of_bucket == bytes then begin_bucket(bucket, ends) end
end

-- Count what is kept until it is given back, by a negative number.
local function keep_open(bytes)
  if redis.call('HINCRBY', KEPT, 'open', bytes) < 0 then redis.call('HSET', KEPT, 'open', 0) end
  redis.call('EXPIRE', KEPT, KEPT_SECONDS)
end
