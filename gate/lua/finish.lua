-- finish.lua: learns what became of a batch of claims of one template.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 how many confirms, then for each of those: "claim user",
--         and for each of the others: step, user, "claim user"
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

-- Nearly always there is nothing but confirms, and this is all there is to do.
local last = 2 + tonumber(ARGV[2])
local changes = last > 2 and redis.call('HDEL', KEYS[4], unpack(ARGV, 3, last)) or 0

local back = 0
for i = last + 1, #ARGV, 3 do
  local step, user = ARGV[i], ARGV[i + 1]
  local pending = redis.call('HDEL', KEYS[4], ARGV[i + 2]) == 1
  if pending or step == 'record' then
    changes = changes + 1
  end
  if pending and step == 'release' then
    back = back + 1
    count(user, -1)
  elseif not pending and step == 'record' then
    back = back - 1
    count(user, 1)
  end
end

if back ~= 0 and limited(left) then
  redis.call('INCRBY', KEYS[2], back)
end
if changes > 0 then
  moved()
end
return 1
