-- KEYS: verdict. ARGV: verdict, ttl in ms, look channel. Wakes only on a change.
local before = false
if type_of(KEYS[1]) == 'string' then before = redis.call('GET', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if before ~= ARGV[1] then redis.call('PUBLISH', ARGV[3], 'verdict') end
return {'done'}
