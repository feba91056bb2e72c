-- KEYS: grant. ARGV: node, agent.
local refusal = wrong_type(KEYS[1], 'hash')
if refusal then return refusal end
local held = redis.call('HMGET', KEYS[1], 'node', 'agent')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {'other'} end
redis.call('DEL', KEYS[1])
return {'dropped'}
