-- A session, and where the partition's view was at that moment.
--
-- KEYS[1]  where the view is
-- KEYS[2]  the session
-- ARGV     the position of the last turn that the reader has already; empty when it has none
--
-- Gives "<position> <fold>" (empty when nothing is there), whether the reader has the session already (1 or 0), and if not,
-- its turns, oldest first. Turns are only ever appended, and what stands at a position of the journal never changes: who
-- has the same last turn has the same session.

local at = redis.call('GET', KEYS[1]) or ''
local last = redis.call('LINDEX', KEYS[2], -1)
if last and string.match(last, '^%d+') == ARGV[1] then
  return { at, 1, {} }
end
return { at, 0, redis.call('LRANGE', KEYS[2], 0, -1) }
