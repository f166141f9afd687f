-- Add what one call has spent to its day, once however often the script is run for it.
-- KEYS: 1 the day's usage, 2 the mark of this settlement
-- ARGV: 1 seconds that the day is kept, 2 seconds that the mark is kept, 3 what it was spent on, then pairs:
--       a counter and what is added to it
-- Returns: 1, or 0 where it had been added before
-- Complexity: O(counters)
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2]) then return 0 end
for at = 4, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[1], ARGV[at] .. '|' .. ARGV[3], ARGV[at + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
