-- Replace fields of the record of an ended task by packed ones. The record is written anew, since Redis stores a hash that once
-- had a long value compactly no more. Nothing changes where one of the fields is not what was read.
-- KEYS: 1 the tenant's queue
-- ARGV: 1 tenant, 2 events kept, 3 task, 4 how many fields go, then name and SHA-1 of each, then name and value of each new one
-- Returns: 1, or 0 where nothing has changed
-- Complexity: O(fields)
--!include common/tenant
local task_id, going = ARGV[3], tonumber(ARGV[4])
local FIRST_GOING = 5
local FIRST_NEW = FIRST_GOING + 2 * going

local task = task_key(task_id)
local left_ms = redis.call('PTTL', task)
if left_ms <= 0 or redis.call('HEXISTS', task, 'finished_at') == 0 then return 0 end
local goes = {}
for i = FIRST_GOING, FIRST_NEW - 1, 2 do goes[ARGV[i]] = ARGV[i + 1] end
local record, stays, found = redis.call('HGETALL', task), {}, 0
for i = 1, #record, 2 do
  local name, value = record[i], record[i + 1]
  if goes[name] then
    if redis.sha1hex(value) ~= goes[name] then return 0 end
    found = found + 1
  else
    stays[#stays + 1] = name
    stays[#stays + 1] = value
  end
end
if found < going then return 0 end
for i = FIRST_NEW, #ARGV do stays[#stays + 1] = ARGV[i] end
redis.call('DEL', task)
redis.call('HSET', task, unpack(stays))
redis.call('PEXPIRE', task, left_ms)
return 1
