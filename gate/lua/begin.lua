-- begin.lua: starts to make a copy: wipes what is there and marks it loading.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 epoch, 2 limit, 3 stock, 4 number of the newest stock edit
-- Answer  1, or 0: there has been a copy of this epoch or a newer one

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'moves')
local epoch = tonumber(meta[1])
if epoch and epoch >= tonumber(ARGV[1]) then
  return 0
end
redis.call('UNLINK', unpack(KEYS))
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'limit', ARGV[2], 'stock', ARGV[3], 'edits', ARGV[4],
  'server', server(), 'loading', 1, 'moves', meta[2] or 0)
moved()
return 1
