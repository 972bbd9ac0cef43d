-- guess.lua: one counter of wrong guesses, a GCRA: as many at once as the burst,
-- then one in each interval.
--
-- KEYS    1 string: the millisecond at which the counter will be as good as new.
--           It goes by itself then
-- ARGV    1 now in milliseconds, 2 interval in milliseconds, 3 burst,
--         4 "1" to count a guess, "0" to look only
-- Answer  0: there may be one more, which is counted now if it was to be; or
--         so many milliseconds until there may, nothing counted

local now, every, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local wait = full - now - (burst - 1) * every
if wait > 0 then
  return wait
end
if ARGV[4] == '1' then
  redis.call('SET', KEYS[1], string.format('%.0f', full + every), 'PX', full + every - now)
end
return 0
