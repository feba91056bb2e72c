-- KEYS: notice, notice that must have been told before or the same again.
-- ARGV: verb, name of the agent, life of the claim in ms, life of the record in
-- ms, '1' when it may be told though nobody has claimed it before, '1' when
-- KEYS[2] counts.
local refusal = wrong_type(KEYS[1], 'hash', KEYS[2], 'hash')
  or denied({{'HSET', KEYS[1], 'state', ''}, {'PEXPIRE', KEYS[1], ARGV[4]}, {'DEL', KEYS[1], KEYS[2]}})
if refusal then return refusal end

local verb, me, claim, keep, fresh, follows = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6] == '1'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local found = redis.call('HMGET', KEYS[1], 'state', 'agent', 'until', 'born')
local state, holder, ends, born = found[1], found[2], tonumber(found[3] or '0') or 0, found[4]

if verb == 'told' then
  if follows then
    redis.call('DEL', KEYS[1], KEYS[2])
    return {'done'}
  end
  redis.call('HSET', KEYS[1], 'state', 'told', 'agent', me, 'until', '0')
  redis.call('PEXPIRE', KEYS[1], keep)
  return {'done'}
end

if verb == 'release' then
  if state == 'claimed' and holder == me then
    redis.call('HSET', KEYS[1], 'state', 'owed', 'until', '0')
  end
  return {'done'}
end

if verb == 'forget' then
  if state and (fresh == '1' or state ~= 'told') then redis.call('DEL', KEYS[1]) end
  return {'done'}
end

if follows and redis.call('HGET', KEYS[2], 'state') ~= 'told' then return {'void'} end
if state == 'told' then return {'told'} end
if not state and fresh ~= '1' then return {'void'} end
-- A claim that ends far beyond what anybody asks for is one from before the
-- clock was set back.
if state == 'claimed' and holder ~= me and ends > now and ends - now <= 10 * claim then
  return {'other', holder, string.format('%.0f', ends - now)}
end
if not born or #born > 15 or not string.find(born, '^%d+$') then born = string.format('%.0f', now) end
redis.call('HSET', KEYS[1], 'state', 'claimed', 'agent', me, 'until', string.format('%.0f', now + claim), 'born', born)
redis.call('PEXPIRE', KEYS[1], keep)
return {'mine', born}
