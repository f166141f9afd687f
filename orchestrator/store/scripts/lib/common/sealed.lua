-- Contents that are sealed (store/contents.py): scripts carry them, and never look inside.
-- Their mark begins with a byte that no text holds.
local COMPOSED = '\255B1'

local function is_sealed(value) return value and string.byte(value) == 255 end
local function clear(value) return not is_sealed(value) and value or nil end

-- Return what stands in clear before a sealed part.
local function before_sealed(value) return (string.match(value, '^[^\255]*')) end

-- Return the sealed part behind it, or ''.
local function sealed_part(value) return string.match(value, '\255.*$') or '' end
