-- Event logs of sessions and other owners. Needs tenant.lua.
-- Offsets come from the owner's own counter, so a log has no gaps.
--!include common/feed
local prolonged = {}

-- Append an event under an offset that the caller has counted, and publish it to the followers of `id`.
local function write_event(owner, id, epoch, offset, name, body)
  redis.call('XADD', owner .. ':events', 'MAXLEN', '~', LOG_LENGTH, '0-' .. offset, 'e', epoch, 'n', name, 'b', body)
  redis.call('PUBLISH', 'orchestrator:events:' .. TENANT .. ':' .. id, offset .. ' ' .. epoch .. ' ' .. name .. '\n' .. body)
  tell_feed_of(owner, id, epoch, offset, name)
end

-- Append an event to the log of an owner, which is a key. Returns its offset; 0 where the owner has no log.
local function append_to(owner, id, name, body)
  local epoch, last = unpack(redis.call('HMGET', owner, 'epoch', 'offset'))
  if not epoch then return 0 end
  local offset, log = tonumber(last or 0) + 1, owner .. ':events'
  -- The offset is kept once the event is in the log: one that can't be appended changes nothing.
  write_event(owner, id, epoch, offset, name, body)
  redis.call('HSET', owner, 'offset', string.format('%d', offset))
  -- One EXPIRE a script is enough, however many events the script appends.
  if not prolonged[log] then
    redis.call('EXPIRE', log, LOG_SECONDS)
    prolonged[log] = true
  end
  return offset
end

local function append_event(session_id, name, body)
  return append_to(session_key(session_id), session_id, name, body)
end

-- Append to the log of the session whose turn a task is. Where it is no turn (`session_id` is ''): to the task's own log, and
-- to the log of the session that its record names in `of_session`.
local function append_for(task_id, session_id, name, body)
  if session_id ~= '' then return append_event(session_id, name, body) end
  local told = redis.call('HGET', task_key(task_id), 'of_session')
  if told then append_event(told, name, body) end
  return append_to(task_key(task_id), task_id, name, body)
end
