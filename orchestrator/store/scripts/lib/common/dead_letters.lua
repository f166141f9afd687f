-- The dead letters of a tenant. Needs tenant.lua.
--!include common/dropped
local DEAD_LETTERS_KEPT, DROPPED_AT_ONCE = 10000, 100

-- Append a dead letter, of pairs of field and value. Where the list is full the oldest ones are dropped, and counted.
local function dead_letter(...)
--!rare
  redis.call('XADD', DEAD_LETTERS, '*', ...)
  if redis.call('XLEN', DEAD_LETTERS) < DEAD_LETTERS_KEPT + DROPPED_AT_ONCE then return end
  note_dropped('dead_letters', redis.call('XTRIM', DEAD_LETTERS, 'MAXLEN', DEAD_LETTERS_KEPT))
end
