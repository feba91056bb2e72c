-- KEYS: locked. ARGV: assignment, which is only read, epoch, version, account ...
-- Under another record somebody may have noted an account anew.
local refusal = wrong_type(ARGV[1], 'hash', KEYS[1], 'set') or denied({{'SREM', KEYS[1], ''}})
if refusal then return refusal end
local found = redis.call('HMGET', ARGV[1], 'epoch', 'version')
if ARGV[2] ~= '0' and (found[1] ~= ARGV[2] or (found[2] or '0') ~= ARGV[3]) then return {'other'} end
for i = 4, #ARGV do redis.call('SREM', KEYS[1], ARGV[i]) end
return {'dropped'}
