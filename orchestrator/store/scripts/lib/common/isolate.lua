-- Isolation: what is wrong with one record or entry stops that one alone.
-- `isolate` returns true and what `work` returns, or false and the reason. An error of the server's state (OOM, READONLY…) is
-- no fault of the record: it is raised again.
local function isolate(work, ...)
  local ok, found, second = pcall(work, ...)
  if ok then return true, found, second end
  local reason = type(found) == 'table' and found.err or tostring(found)
  local code = string.match(reason, '^(%u+) ')
  local of_server = code and code ~= 'WRONGTYPE' and code ~= 'ERR'
  for _, words in ipairs({'^ERR ACL failure', "^ERR The user executing", '^ERR Unknown Redis command'}) do
    of_server = of_server or string.find(reason, words)
  end
  if of_server then error({err = reason}) end
  reason = string.gsub(reason, '^user_script:%d+: ', '')
  return false, (string.gsub(string.sub(reason, 1, 200), '[^\32-\126]', '?'))
end
