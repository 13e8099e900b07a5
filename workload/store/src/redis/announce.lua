-- A socket is still there: it is the channel's route unless a newer socket is.
--
-- KEYS[1]  the user's routes
-- ARGV     channel, epoch, instance, origin, how long the routes are kept (ms)
--
-- Gives 1 when it is the route, else 0.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local epoch, _, instance = string.match(stored, '^(%d+) (%d+) (%S+) ')
  if instance and instance ~= '-' and tonumber(epoch) > tonumber(ARGV[2]) then
    return 0
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s %.0f %s %s', ARGV[2], now, ARGV[3], ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
