-- A socket was closed: its route is deleted, never that of another.
--
-- KEYS[1]  the user's routes
-- ARGV     channel, epoch
--
-- Gives 1 when it was there, else 0.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  local epoch, _, instance = string.match(stored, '^(%d+) (%d+) (%S+) ')
  if instance and instance ~= '-' and epoch == ARGV[2] then
    return redis.call('HDEL', KEYS[1], ARGV[1])
  end
end
return 0
