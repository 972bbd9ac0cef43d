-- reserve.lua: judges a batch of reservations of one template, in their order.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 now in milliseconds, then for each: user, "claim user"
-- Answer  a string with one letter for each:
--           T  taken: a unit is set aside, now or by an earlier call
--           L  the user has as many as one may have
--           S  sold out: nothing left, nothing pending
--           B  nothing left, but something pending
--         or "C" alone: no open copy of this epoch
--
-- Judging the same claim again while it is pending changes nothing.

local limit, loading = find(ARGV[1])
local left = limit and not loading and tonumber(redis.call('GET', KEYS[2]))
if not left then
  return 'C'
end

local users, claims = {}, {}
for i = 3, #ARGV, 2 do
  users[#users + 1] = ARGV[i]
  claims[#claims + 1] = ARGV[i + 1]
end
local have = holdings(users, limit)
local since = redis.call('HMGET', KEYS[4], unpack(claims))

local pending -- whether anything is; asked once at most
local function refusal()
  if pending == nil then
    pending = redis.call('EXISTS', KEYS[4]) == 1
  end
  return pending and 'B' or 'S'
end

local bounded = limited(left)
local answers, noted, taken, served = {}, {}, {}, {}
for i, user in ipairs(users) do
  local claim = claims[i]
  if since[i] or taken[claim] then
    answers[i] = 'T'
  elseif have[user] >= limit then
    answers[i] = 'L'
  elseif left <= 0 then
    answers[i] = refusal()
  else
    answers[i] = 'T'
    taken[claim] = true
    pending = true
    noted[#noted + 1] = claim
    noted[#noted + 1] = ARGV[2]
    have[user] = have[user] + 1
    served[user] = have[user]
    if bounded then
      left = left - 1
    end
  end
end

if #noted > 0 then
  redis.call('HSET', KEYS[4], unpack(noted))
  if bounded then
    redis.call('DECRBY', KEYS[2], #noted / 2)
  end
  raise(served, limit)
  moved()
end
return table.concat(answers)
