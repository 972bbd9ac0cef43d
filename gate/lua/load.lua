-- load.lua: adds units of users to a copy that is being made.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 limit, then for each: user, units
-- Answer  1, or 0: not loading this epoch with this limit, nothing done

local limit, loading = find(ARGV[1])
if not loading or limit ~= tonumber(ARGV[2]) then
  return 0
end
local users = {}
for i = 3, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
end
if #users == 0 then
  return 1
end
local have = holdings(users, limit)
for i = 3, #ARGV, 2 do
  have[ARGV[i]] = have[ARGV[i]] + tonumber(ARGV[i + 1])
end
raise(have, limit)
moved()
return 1
