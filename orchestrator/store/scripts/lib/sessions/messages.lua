-- The records of messages. Needs tenant.lua.

-- Return the key of a user's message, and whether it has a record.
local function place_of_message(id, user)
  local own = user_message_key(id, user)
  if redis.call('EXISTS', own) == 1 then return own, true end
  local first_user = redis.call('HGET', message_key(id), 'user_id')
  if first_user and first_user ~= user then return own, false end
  return message_key(id), first_user ~= false
end

-- Note where a user's message belongs; `key` is what place_of_message says.
local function note_message(key, user, session_id, task_id, seconds)
  redis.call('HSET', key, 'session_id', session_id, 'task_id', task_id, 'user_id', user)
  redis.call('EXPIRE', key, seconds)
end
