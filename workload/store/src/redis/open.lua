-- A socket was opened: it is the channel's route from now on.
--
-- KEYS[1]  the user's routes
-- ARGV     channel, instance, origin, how long the routes are kept (ms)
--
-- Gives its epoch: microseconds since the epoch, and more than that of the route that was there.

local time = redis.call('TIME')
local epoch = time[1] * 1000000 + time[2]
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local before = stored and tonumber(string.match(stored, '^%d+'))
if before and before >= epoch then
  epoch = before + 1
end
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local route = string.format('%.0f %.0f %s %s', epoch, now, ARGV[2], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], route)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return epoch
