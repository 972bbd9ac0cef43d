-- finish.lua: learns what became of a batch of claims of one template.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, then for each: step, user, "claim user"; the steps are
--           confirm  forget that it is pending
--           release  if it is pending: give the unit back, and the user's part
--           record   if it is pending: confirm; else take a unit for the user
-- Answer  1, or 0: no copy of this epoch, nothing done
--
-- A copy that is being loaded takes records too: what is loaded is how things
-- stood when the epoch began, and what is recorded came after that.

local limit, loading = find(ARGV[1])
local left = limit and tonumber(redis.call('GET', KEYS[2]) or loading and 0 or nil)
if not left then
  return 0
end

local claims = {}
for i = 4, #ARGV, 3 do
  claims[#claims + 1] = ARGV[i]
end
local since = redis.call('ZMSCORE', KEYS[4], unpack(claims))
local pending = {}
for i, claim in ipairs(claims) do
  pending[claim] = since[i]
end

local function count(user, more)
  local have = tonumber(redis.call('HGET', KEYS[5], user)) or redis.call('SISMEMBER', KEYS[3], user) * limit
  have = math.max(have + more, 0)
  redis.call(have >= limit and 'SADD' or 'SREM', KEYS[3], user)
  if have > 1 or (have == 1 and limit > 1) then
    redis.call('HSET', KEYS[5], user, have)
  else
    redis.call('HDEL', KEYS[5], user)
  end
end

local settled, back, recorded = {}, 0, false
for i = 2, #ARGV, 3 do
  local step, user, claim = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if pending[claim] then
    pending[claim] = false
    settled[#settled + 1] = claim
    if step == 'release' then
      back = back + 1
      count(user, -1)
    end
  elseif step == 'record' then
    recorded = true
    back = back - 1
    count(user, 1)
  end
end

if #settled > 0 then
  redis.call('ZREM', KEYS[4], unpack(settled))
end
if back ~= 0 and limited(left) then
  redis.call('INCRBY', KEYS[2], back)
end
if #settled > 0 or recorded then
  moved()
end
return 1
