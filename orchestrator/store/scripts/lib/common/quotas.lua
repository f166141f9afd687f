-- The quotas of a tenant. Needs tenant.lua and queue.lua.
--!include common/limits
--!include sessions/sessions
--!include tasks/depth
--!include tasks/schedules
local QUOTAS = {'concurrency', 'sessions', 'queue_length', 'batches', 'schedules', 'bytes'}

-- Return how much of each quota is used. `defaults` has the default of each limit, in the order of QUOTAS.
-- The figures come from the collections themselves, but for `bytes`.
local function quotas_of(defaults)
  local waiting = queue_length() + redis.call('ZCARD', DELAYED) + items_waiting()
  local used = {
    concurrency = tasks_in_hand(), sessions = redis.call('ZCARD', OPEN), queue_length = waiting,
    batches = redis.call('HLEN', BATCHES .. ':waiting'), schedules = redis.call('ZCARD', SCHEDULES), bytes = kept_bytes()}
  local quotas = {}
  for i, name in ipairs(QUOTAS) do
    quotas[i] = {name = name, used = used[name], limit = limit_of(name, defaults[i])}
  end
  return quotas
end

-- As a reply: name, used, limit or '' for none.
local function packed(quota)
  local limit = quota.limit ~= math.huge and string.format('%d', quota.limit) or ''
  return {quota.name, string.format('%d', quota.used), limit}
end
