-- KEYS: leader, token, assignment, incarnation, events, request, mode, master.
-- ARGV: id, token, expected epoch and version (both '0' for no record),
-- incarnation, event, request or '', whole and least life of a request in ms,
-- look channel, topic or '', message, active or '' when nothing is announced,
-- passive, then the fields and values of the record.
local leader, token, record, incarnation = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local events, request, mode, master = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local look, topic, message, active, passive = ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local announce, asked = active ~= '', ARGV[7] ~= ''

local refusal = wrong_type(leader, 'string', token, 'string', record, 'hash',
  incarnation, 'string', events, 'stream')
  or (asked and wrong_type(request, 'string'))
  or (announce and wrong_type(mode, 'hash', master, 'hash'))
if refusal then return refusal end

refusal = not_leader(leader, token, ARGV[1], ARGV[2])
if refusal then return refusal end

if ARGV[3] == '0' and ARGV[4] == '0' then
  if redis.call('EXISTS', record) == 1 then
    local found = redis.call('HMGET', record, 'epoch', 'version', 'phase')
    return {'stale', found[1] or '?', found[2] or '?', found[3] or '?'}
  end
else
  local found = redis.call('HMGET', record, 'epoch', 'version', 'phase')
  if not found[1] and redis.call('EXISTS', record) == 0 then return {'stale', '', '', ''} end
  if found[1] ~= ARGV[3] or found[2] ~= ARGV[4] then
    return {'stale', found[1] or '?', found[2] or '?', found[3] or '?'}
  end
end

-- A request that its operator has withdrawn is not begun.
if asked then
  local there = redis.call('GET', request)
  local read, was = pcall(cjson.decode, there or '{}')
  if cjson.decode(ARGV[7]).state == 'running' and not (read and was.state == 'filed') then
    return {'withdrawn'}
  end
end

local writes = {
  {'XADD', events, '*', 'event', ''}, {'HSET', record, 'epoch', ''},
  {'SET', incarnation, ''}, {'PUBLISH', look, ''},
}
if asked then writes[#writes + 1] = {'SET', request, ''} end
if announce then
  writes[#writes + 1] = {'HSET', mode, 'active', ''}
  writes[#writes + 1] = {'HSET', master, 'host', ''}
  if topic ~= '' then writes[#writes + 1] = {'PUBLISH', topic, ''} end
end
refusal = denied(writes)
if refusal then return refusal end

local now = redis.call('TIME')
local since = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))

-- The only write that can still be refused for what a key holds stands first;
-- lack of memory, a full disk or a replica's READONLY stop it as well.
redis.call('XADD', events, 'MAXLEN', '~', '10000', '*', 'event', ARGV[6])
redis.call('HSET', record, 'since_ms', since, unpack(ARGV, 15))
redis.call('SET', incarnation, ARGV[5], 'NX')
if asked then
  redis.call('SET', request, ARGV[7], 'PX', answer_ttl(request, ARGV[8], ARGV[9]))
end
if announce then
  redis.call('HSET', mode, 'active', active, 'passive', passive)
  redis.call('HSET', master, 'host', active)
end
redis.call('PUBLISH', look, 'assignment')
if asked then redis.call('PUBLISH', look, 'request') end
if announce and topic ~= '' then redis.call('PUBLISH', topic, message) end
return {'done', since}
