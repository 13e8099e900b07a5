-- One update of a partition's view: step W9 of the message guarantee.
--
-- KEYS[1]               where the view is: "<position> <fold>"
-- KEYS[2i], KEYS[2i+1]  session and routes of the i-th account
-- ARGV                  from, to, fold, turns kept, timeout (ms), grace (ms), life of a socket (ms); then for each account
--                       the number of turns, the turns ("<position> <at> <JSON>", oldest first), the number of routes, and
--                       for each route its channel and "<epoch> 0 - <origin>"
--
-- Gives nothing when the update was applied, else where the view is.

local at = redis.call('GET', KEYS[1]) or '0 '
if string.match(at, '^%d+') ~= ARGV[1] then
  return at
end

local turns_kept, timeout, grace, life = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next_argument = 8

local function take()
  next_argument = next_argument + 1
  return ARGV[next_argument - 1]
end

local to = tonumber(ARGV[2])

local function append(key, count)
  local last = redis.call('LINDEX', key, -1)
  -- Beyond what the view will have is only what another journal said, which was there before.
  if last and tonumber(string.match(last, '^%d+')) >= to then
    redis.call('DEL', key)
    last = nil
  end
  local last_position, last_at
  if last then
    last_position, last_at = string.match(last, '^(%d+) (%-?%d+) ')
    last_position, last_at = tonumber(last_position), tonumber(last_at)
  end
  for _ = 1, count do
    local turn = take()
    local position, turn_at = string.match(turn, '^(%d+) (%-?%d+) ')
    position, turn_at = tonumber(position), tonumber(turn_at)
    if not last_position or position > last_position then
      if last_at and turn_at - last_at > timeout then
        redis.call('DEL', key)
      end
      redis.call('RPUSH', key, turn)
      last_position, last_at = position, turn_at
    end
  end
  if turns_kept == 0 then
    redis.call('DEL', key)
  else
    redis.call('LTRIM', key, -turns_kept, -1)
  end
  -- The reader says when a session is over. The grace is for a replay that has not brought its latest turn yet, and for
  -- clocks that differ.
  if last_at then
    redis.call('PEXPIRE', key, math.max(last_at + timeout - now, 0) + grace)
  end
end

-- Where no newer route is, and never over a socket that lives.
local function reach(key, channel, route)
  local stored = redis.call('HGET', key, channel)
  if stored then
    local epoch, announced, instance = string.match(stored, '^(%d+) (%d+) (%S+) ')
    if instance and instance ~= '-' then
      if now - tonumber(announced) <= life then
        return
      end
    elseif epoch and tonumber(epoch) >= tonumber(string.match(route, '^%d+')) then
      return
    end
  end
  redis.call('HSET', key, channel, route)
end

for account = 2, #KEYS, 2 do
  local turns = tonumber(take())
  if turns > 0 then
    append(KEYS[account], turns)
  end
  local routes = tonumber(take())
  if routes > 0 then
    for _ = 1, routes do
      reach(KEYS[account + 1], take(), take())
    end
    redis.call('PEXPIRE', KEYS[account + 1], timeout + grace)
  end
end

redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3])
return false
