-- KEYS  attempts of an account
-- ARGV  the message, attempts allowed, for how long they are counted (ms)
--
-- Counts each message once, as a field of a hash; gives whether it is one of those allowed.

if redis.call('HGET', KEYS[1], ARGV[1]) then
  return true
end
local allowed = tonumber(ARGV[2])
local counted = #redis.call('HGETALL', KEYS[1]) / 2
if counted >= allowed then
  return false
end
redis.call('HSET', KEYS[1], ARGV[1], 1)
if counted == 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return true
