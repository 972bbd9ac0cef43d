-- stock.lua: sets the stock. Edits of it are numbered, so that an older one
-- that comes late, or the same one again, does nothing.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 number of the edit, 3 stock
-- Answer  1, or 0: no copy of this epoch, or it knows this edit or a newer one,
--         nothing done; or -1: a stock was set or lifted, so that what is left
--         cannot be told, and the copy is cold now

local limit, loading = find(ARGV[1])
local meta = redis.call('HMGET', KEYS[1], 'stock', 'edits')
if not limit or tonumber(ARGV[2]) <= tonumber(meta[2]) then
  return 0
end
local before, now = tonumber(meta[1]), tonumber(ARGV[3])
if not loading and before ~= now then
  if not limited(before) or not limited(now) or redis.call('EXISTS', KEYS[2]) == 0 then
    forget()
    return -1
  end
  redis.call('INCRBY', KEYS[2], now - before)
end
redis.call('HSET', KEYS[1], 'stock', ARGV[3], 'edits', ARGV[2])
moved()
return 1
