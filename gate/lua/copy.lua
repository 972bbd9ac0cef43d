-- copy.lua: put in front of every other script here but guess.lua; answers
-- nothing itself.
--
-- A "copy" is what this server holds of one template's counters. All scripts
-- take the same keys, which share the hash tag {template id}:
--
--   KEYS[1] meta    hash: epoch    of the template row that the copy was made from
--                         server   on which it was made; missing once the copy is cold
--                         loading  1 while it is being made
--                         limit    units that one user may have
--                         stock    units there are in all, above 2^51 without a stock
--                         edits    number of the newest stock edit that is in it
--                         moves    changes so far, over all epochs
--   KEYS[2] left    string: units left; below 0 after stock was taken away,
--                   above 2^51 without a stock. While loading: minus the units
--                   that were recorded meanwhile, missing for none
--   KEYS[3] users   set: who has as many as one may have
--   KEYS[4] pend    hash: "claim user" -> the millisecond of its reservation. Not
--                   a sorted set: only the settle job asks for the order
--   KEYS[5] counts  hash: user -> units. With a limit of 1 only of users with
--                   more, which comes of records; users tells the rest
--
-- Needs Redis 6.2 (SMISMEMBER), and INFO allowed.

-- Which history this server's data belongs to. It changes with every start and
-- every promotion, so a copy that came here by replication or from a file, and
-- may lack what was acknowledged before, does not pass for one made here. Asked
-- inside the script because nothing outside it can tell on which server it runs.
local function server()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- The limit of this epoch's copy and whether it is still loading; nil if cold.
local function find(epoch)
  local meta = redis.call('HMGET', KEYS[1], 'epoch', 'server', 'limit', 'loading')
  if meta[1] and meta[1] == epoch and meta[2] == server() then
    return tonumber(meta[3]), meta[4] == '1'
  end
end

local function limited(units)
  return units <= 2251799813685248
end

-- Units that each of the users has; with a limit of 1, whether they have any.
local function holdings(users, limit)
  local full = redis.call('SMISMEMBER', KEYS[3], unpack(users))
  local counts = limit > 1 and redis.call('HMGET', KEYS[5], unpack(users))
  local have = {}
  for i, user in ipairs(users) do
    have[user] = counts and tonumber(counts[i]) or full[i] * limit
  end
  return have
end

-- Writes down users who have more units than before. How far above a limit of 1
-- does not matter here: nothing of theirs is pending that could be released.
local function raise(have, limit)
  local full, counts = {}, {}
  for user, units in pairs(have) do
    if units >= limit then
      full[#full + 1] = user
    end
    if limit > 1 then
      counts[#counts + 1] = user
      counts[#counts + 1] = units
    end
  end
  if #full > 0 then
    redis.call('SADD', KEYS[3], unpack(full))
  end
  if #counts > 0 then
    redis.call('HSET', KEYS[5], unpack(counts))
  end
end

local function moved()
  redis.call('HINCRBY', KEYS[1], 'moves', 1)
end

-- Makes the copy cold. Epoch and moves stay: only a newer epoch may follow.
local function forget()
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  redis.call('HDEL', KEYS[1], 'server', 'loading')
  moved()
end
