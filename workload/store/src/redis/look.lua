-- Does what the other scripts do, with keys of its own, so that what is forbidden shows before it is needed.
--
-- KEYS  a hash, a list
-- ARGV  what is written, how long it is kept at most (ms)
--
-- Gives what was read back from either, and leaves nothing. What deletes and what lets expire comes first: where that is
-- forbidden, nothing is written.

for _, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('PEXPIRE', key, ARGV[2])
end
redis.call('TIME')
redis.call('HSET', KEYS[1], 'look', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -1, -1)
redis.call('PTTL', KEYS[2])
redis.call('LRANGE', KEYS[2], 0, -1)
local field, turn = redis.call('HGET', KEYS[1], 'look'), redis.call('LINDEX', KEYS[2], -1)
redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'look')
redis.call('DEL', KEYS[2])
return { field, turn }
