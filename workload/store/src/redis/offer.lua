-- KEYS  a code
-- ARGV  how long it can be taken (ms), how long it is known afterwards (ms), the account (JSON)
--
-- Keeps "<taken until> <message that took it, or -> <account>".

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%d - %s', now + life, ARGV[3]), 'PX', life + tonumber(ARGV[2]))
return true
