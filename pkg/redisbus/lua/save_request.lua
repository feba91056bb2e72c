-- KEYS: leader, token, request. ARGV: id, token, request, whole and least life
-- of a request in ms, look channel.
local refusal = wrong_type(KEYS[1], 'string', KEYS[2], 'string', KEYS[3], 'string')
  or not_leader(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if refusal then return refusal end
redis.call('SET', KEYS[3], ARGV[3], 'PX', answer_ttl(KEYS[3], ARGV[4], ARGV[5]))
redis.call('PUBLISH', ARGV[6], 'request')
return {'done'}
