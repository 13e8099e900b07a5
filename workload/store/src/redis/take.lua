-- KEYS  a code
-- ARGV  the message that takes it, and its account
--
-- Gives what has become of it, and its account.

local stored = redis.call('GET', KEYS[1])
local till, by, account = string.match(stored or '', '^(%d+) (%S+) (.*)$')
if not till then
  return { 'unknown', '' }
end
if by == ARGV[1] then
  return { 'taken', account }
end
if by ~= '-' then
  return { 'used', '' }
end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(till) then
  return { 'expired', '' }
end
if account == ARGV[2] then
  return { 'own', '' }
end
local left = redis.call('PTTL', KEYS[1])
redis.call('SET', KEYS[1], till .. ' ' .. ARGV[1] .. ' ' .. account, 'PX', math.max(left, 1))
return { 'taken', account }
