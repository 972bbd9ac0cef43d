-- pending.lua: lists what is pending, oldest first. Changes nothing.
--
-- KEYS    meta left users pend counts; see copy.lua
-- ARGV    1 only what was reserved before this millisecond, 2 how many at most
-- Answer  for each: "claim user", milliseconds; none without an open copy

if not find(redis.call('HGET', KEYS[1], 'epoch')) then
  return {}
end
return redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
