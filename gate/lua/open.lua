-- open.lua: ends the making of a copy: from now on it decides.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 units left, 3 stock, 4 number of the newest stock edit in it
-- Answer  1, or 0: not loading this epoch; or a stock was set or lifted since,
--         so that what is left cannot be told (then the copy is cold)

local _, loading = find(ARGV[1])
if not loading then
  return 0
end

local left, stock, edits = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local meta = redis.call('HMGET', KEYS[1], 'stock', 'edits')
local newest = tonumber(meta[1])
if tonumber(meta[2]) > edits and newest ~= stock then
  if not limited(newest) or not limited(stock) then
    forget()
    return 0
  end
  left, stock = left + newest - stock, newest
end
if limited(left) then
  left = left + tonumber(redis.call('GET', KEYS[2]) or 0)
end

redis.call('SET', KEYS[2], left)
redis.call('HSET', KEYS[1], 'stock', stock, 'edits', math.max(edits, tonumber(meta[2])))
redis.call('HDEL', KEYS[1], 'loading')
moved()
return 1
