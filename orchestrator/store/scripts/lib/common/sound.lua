-- Refuse a script before it has written anything, where a key that it will write holds something of another type.
-- A script that stops in the middle leaves what it has written: where a write comes before the first look at a key, it looks
-- at that key here first. The arguments are pairs of type and key.
local function must_be(...)
  local wanted = {...}
  for i = 1, #wanted, 2 do
    local found = redis.call('TYPE', wanted[i + 1]).ok
    if found ~= 'none' and found ~= wanted[i] then
      error({err = 'WRONGTYPE ' .. wanted[i + 1] .. ' is a ' .. found .. ', and should be a ' .. wanted[i]})
    end
  end
end

-- The same for the log of an owner, and the owner.
local function must_be_log(owner) must_be('hash', owner, 'stream', owner .. ':events') end

-- The same for what `enqueue` of tasks/entries.lua writes for a task of a user, beside its record.
local function must_be_enqueueable(user)
  for _, lane in ipairs(LANES) do must_be('stream', QUEUE .. (lane == 'normal' and '' or ':' .. lane)) end
  must_be('hash', QUEUE .. ':users', 'list', QUEUE .. ':user:' .. user)
end

-- The same for what the stop of a task that does not run, and the start of the next one, write.
local function must_be_stoppable(task_id)
  local task = task_key(task_id)
  must_be('hash', task, 'stream', task .. ':events', 'zset', DELAYED, 'stream', QUEUE .. ':parked')
  must_be_enqueueable(redis.call('HGET', task, 'user_id') or '')
end
