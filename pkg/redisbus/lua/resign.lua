-- KEYS: leader, token. ARGV: id, token held ('0' when not known).
local refusal = wrong_type(KEYS[1], 'string', KEYS[2], 'string')
if refusal then return refusal end
if redis.call('GET', KEYS[1]) == ARGV[1]
  and (ARGV[2] == '0' or redis.call('GET', KEYS[2]) == ARGV[2]) then
  redis.call('DEL', KEYS[1])
  return {'resigned'}
end
return {'other'}
