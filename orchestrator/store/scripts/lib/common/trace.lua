-- The timeline of a request. Needs tenant.lua.
-- The steps of a task are lines of the field `steps` of its record, their parts separated by tabs, so a script that writes the
-- record writes them with it. The timeline of a request is the list of its tasks. Clients choose the ids of requests, so those of
-- several users may be equal: the list belongs to the first one, and each other user has a list apart.
local TRACE_TASKS, TRACE_SECONDS, STEPS_BYTES = 1000, 86400, 65536
-- So many other users of an id are shown to operators.
local TRACE_USERS = 20

local function trace_key(correlation) return 'orchestrator:trace:' .. TENANT .. ':' .. correlation end
local function user_trace_key(correlation, user) return trace_key(correlation) .. ':' .. user end

local function user_of(task_id) return task_id and redis.call('HGET', task_key(task_id), 'user_id') end

-- Note that a user has tasks apart under the id of a request.
local function note_apart(correlation, user)
  local apart = user_trace_key(correlation, '')
  if redis.call('SCARD', apart) < TRACE_USERS then redis.call('SADD', apart, user) end
  redis.call('EXPIRE', apart, TRACE_SECONDS)
end

-- Where the first task of a list is another user's, put the last one into its own user's list; returns that and its length.
local function put_apart(timeline, task_id, correlation)
--!rare
  local user, first_user = user_of(task_id), user_of(redis.call('LINDEX', timeline, 0))
  if not user or not first_user or user == first_user then return nil end
  redis.call('RPOP', timeline)
  local own = user_trace_key(correlation, user)
  local count = redis.call('RPUSH', own, task_id)
  note_apart(correlation, user)
  return own, count
end

-- List a task under its request, for a day from now on.
local function trace_task(task_id, correlation)
  if not correlation or correlation == '' then return end
  local timeline = trace_key(correlation)
  local count = redis.call('RPUSH', timeline, task_id)
  if count > 1 then
    local own, own_count = put_apart(timeline, task_id, correlation)
    if own then timeline, count = own, own_count end
  end
  if count > TRACE_TASKS then redis.call('LTRIM', timeline, -TRACE_TASKS, -1) end
  redis.call('EXPIRE', timeline, TRACE_SECONDS)
end

-- Return the `steps` of a record (false or nil: none yet) with one more; `attempt`, `node` and `detail` may be nil.
local function with_step(steps, what, attempt, node, detail)
  local line = NOW .. '\t' .. what .. '\t' .. (attempt or 0) .. '\t' .. (node or '') .. '\t' ..
    (detail and string.gsub(detail, '[\t\n]', ' ') or '')
  if not steps then return line end
  if #steps > STEPS_BYTES then steps = string.match(string.sub(steps, -STEPS_BYTES / 2), '\n(.*)') end
  return steps .. '\n' .. line
end

-- Add a step to a task of a request; `node` and `detail` may be nil.
local function trace(task_id, correlation, attempt, what, node, detail)
  if not correlation or correlation == '' then return end
  local recorded, steps = unpack(redis.call('HMGET', task_key(task_id), 'correlation_id', 'steps'))
  if not recorded then return end
  redis.call('HSET', task_key(task_id), 'steps', with_step(steps, what, attempt, node, detail))
  if not steps then trace_task(task_id, correlation) end
end

-- Add a step to a task, whose record names its request and attempt.
local function trace_step(task_id, what, node, detail)
  local correlation, attempt = unpack(redis.call('HMGET', task_key(task_id), 'correlation_id', 'attempt'))
  trace(task_id, correlation, attempt, what, node, detail)
end

-- List a task under its request again where it was accepted (`since`, ms) so long ago that the list may have expired.
local function trace_again(task_id, correlation, since)
--!rare
  if NOW - (tonumber(since) or NOW) > TRACE_SECONDS * 500 then trace_task(task_id, correlation) end
end
