#!lua flags=allow-oom
-- Count what came from an address, in one process, against the limit that all processes share (GCRA).
-- It has passed already: nothing is refused here, and the processes refuse what comes next.
-- KEYS: 1 the address' arrival time (ms)
-- ARGV: 1 requests a second, 2 burst (s), 3 requests that came
-- Returns: how far (ms) the arrival time is ahead of the clock
-- Complexity: O(1)
local key, rate, burst_ms, count = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]) * 1000, tonumber(ARGV[3])
local seconds, microseconds = unpack(redis.call('TIME'))
local now = seconds * 1000 + math.floor(microseconds / 1000)

-- No address is held for longer than two bursts, however many processes it came to, and whatever the clock does.
local most = now + 2 * math.max(burst_ms, 1000 / rate)
local arrival = math.min(math.max(tonumber(redis.call('GET', key) or '') or 0, now) + count * 1000 / rate, most)
local ahead_ms = math.ceil(arrival - now)
redis.call('SET', key, string.format('%.3f', arrival), 'PX', math.max(1, ahead_ms))
return ahead_ms
