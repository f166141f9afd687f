-- Write a moment (ms since the Unix epoch) as RFC 3339 in UTC, such as 2026-01-01T00:00:00.000Z.
-- The date comes from the day's number by the proleptic Gregorian calendar, in eras of 400 years that begin in March.
local function moment_of(ms)
  local day, rest = math.floor(ms / 86400000), ms % 86400000
  local shifted = day + 719468
  local of_era = shifted % 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local march = math.floor((5 * of_year + 2) / 153)
  local month = march < 10 and march + 3 or march - 9
  year = year + math.floor(shifted / 146097) * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, of_year - math.floor((153 * march + 2) / 5) + 1,
    math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end
