-- The keys of one tenant, as store/keys.py names them, and the clock.
-- Every script of a tenant takes KEYS[1] = the tenant's queue (which also tells Redis Cluster the slot),
-- ARGV[1] = the tenant as keys spell it, ARGV[2] = how many events a log keeps.
local QUEUE = KEYS[1]
local TENANT, LOG_LENGTH = ARGV[1], ARGV[2]
local LOG_SECONDS = 86400
local GROUP = 'orchestrator'
local LANES = {'high', 'normal', 'low'}

local function session_key(id) return 'orchestrator:session:' .. TENANT .. ':' .. id end
local function task_key(id) return 'orchestrator:task:' .. TENANT .. ':' .. id end
local function message_key(id) return 'orchestrator:message:' .. TENANT .. ':' .. id end
-- Message ids are their users' own: the second user who has the same one gets a record apart from the first one's.
local function user_message_key(id, user) return message_key(id) .. ':' .. user end
local function lane_key(lane) return lane == 'normal' and QUEUE or QUEUE .. ':' .. lane end
local SESSIONS = 'orchestrator:sessions:' .. TENANT
local TIMERS = SESSIONS .. ':timers'
local DELAYED = QUEUE .. ':delayed'
local INDEX = QUEUE .. ':index'
local DEAD_LETTERS = 'orchestrator:dlq:' .. TENANT
local CONFIG = 'orchestrator:tenant:' .. TENANT .. ':config'

local seconds, microseconds = unpack(redis.call('TIME'))
local NOW = seconds * 1000 + math.floor(microseconds / 1000)
