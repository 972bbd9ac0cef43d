-- pending.lua: lists what is pending, oldest first. Changes nothing.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 only what was reserved before this millisecond, 2 how many at most
-- Answer  for each: "claim user", milliseconds; none without an open copy
--
-- Reads all that is pending, which is what is under way and what was lost.

if not find(redis.call('HGET', KEYS[1], 'epoch')) then
  return {}
end
local all = redis.call('HGETALL', KEYS[4])
local found = {}
for i = 1, #all, 2 do
  local since = tonumber(all[i + 1])
  if since < tonumber(ARGV[1]) then
    found[#found + 1] = {since, all[i]}
  end
end
table.sort(found, function(a, b)
  return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
end)
local answer = {}
for i = 1, math.min(#found, tonumber(ARGV[2])) do
  answer[2 * i - 1] = found[i][2]
  answer[2 * i] = string.format('%d', found[i][1])
end
return answer
