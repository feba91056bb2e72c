-- KEYS: grant. ARGV: node, agent, epoch, ttl in ms, assignment, which is only
-- read: a key among KEYS is one that the caller may write.
local grant, record = KEYS[1], ARGV[5]
local node, agent, epoch, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refusal = wrong_type(record, 'hash', grant, 'hash')
  or denied({{'HSET', grant, 'node', ''}, {'PEXPIRE', grant, ttl}})
if refusal then return refusal end

local found = redis.call('HMGET', record, 'epoch', 'version', 'phase', 'active')
local active = found[3] == 'steady' or found[3] == 'opening' or found[3] == 'switching'
if found[1] ~= epoch or found[4] ~= node or not active then
  return {'refused', found[1] or '', found[2] or ''}
end

-- What is only lengthened needs no memory, so that a full Redis closes nobody.
local held = redis.call('HMGET', grant, 'node', 'agent', 'epoch', 'ttl')
if held[1] ~= node or held[2] ~= agent or held[3] ~= epoch or held[4] ~= ttl then
  redis.call('HSET', grant, 'node', node, 'agent', agent, 'epoch', epoch, 'ttl', ttl)
end
redis.call('PEXPIRE', grant, ttl)
return {'held', found[1], found[2] or ''}
