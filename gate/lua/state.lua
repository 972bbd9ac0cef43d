-- state.lua: describes a copy. Changes nothing.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    none
-- Answer  1 if it is open else 0, epoch, left, how many are pending, how many
--         users are at the limit, moves. All are numbers; of a cold copy all
--         but moves are 0, and left is 0 until it is open.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'moves')
local moves = tonumber(meta[2] or 0)
local limit, loading = find(meta[1])
local left = redis.call('GET', KEYS[2])
if not limit or not (loading or left) then
  return {0, 0, 0, 0, 0, moves}
end
return {
  loading and 0 or 1,
  tonumber(meta[1]),
  loading and 0 or tonumber(left),
  redis.call('HLEN', KEYS[4]),
  redis.call('SCARD', KEYS[3]),
  moves,
}
