-- KEYS: leader, token. ARGV: id, token held ('0' when not known), ttl in ms.
local refusal = wrong_type(KEYS[1], 'string', KEYS[2], 'string')
  or denied({{'INCR', KEYS[2]}, {'SET', KEYS[1], ARGV[1]}, {'PEXPIRE', KEYS[1], ARGV[3]}})
if refusal then return refusal end

local id, mine, ttl = ARGV[1], ARGV[2], ARGV[3]
local leader = redis.call('GET', KEYS[1])
local current = redis.call('GET', KEYS[2]) or '0'
if not string.match(current, '^%d+$') or #current > 15 then
  return {'value', KEYS[2], 'it is not a counter'}
end

-- A lease without an end is none of ours.
if leader and redis.call('PTTL', KEYS[1]) < 0 then leader = false end

if leader == id and mine ~= '0' and mine == current then
  redis.call('PEXPIRE', KEYS[1], ttl)
  return {'held', current, id}
end

-- The own name without its token is this process before its last answer was
-- lost, or its predecessor: the new token shuts that one out.
if leader and (leader ~= id or mine ~= '0') then
  return {'other', current, leader}
end

redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], id, 'PX', ttl)
return {'held', redis.call('GET', KEYS[2]), id}
