-- KEYS: request. ARGV: text that was read ('' for none), request, ttl in ms, look channel.
local refusal = wrong_type(KEYS[1], 'string')
if refusal then return refusal end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return {'moved'} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], 'request')
return {'done'}
