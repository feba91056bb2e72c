-- Shared by all scripts. A refusal is an array whose first word names it; it is
-- returned before anything is written.

local function type_of(key)
  local t = redis.call('TYPE', key)
  if type(t) == 'table' then return t.ok end
  return t
end

-- wrong_type takes key, wanted type, key, wanted type ... and gives the first
-- refusal, nil when every key is absent or of its type.
local function wrong_type(...)
  local want = {...}
  for i = 1, #want, 2 do
    local found = type_of(want[i])
    if found ~= 'none' and found ~= want[i + 1] then
      return {'type', want[i], found, want[i + 1]}
    end
  end
  return nil
end

-- denied asks the ACL, where this Redis can be asked, for each of the commands.
local function denied(commands)
  if not redis.acl_check_cmd then return nil end
  for _, c in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(c)) then return {'denied', c[1], c[2]} end
  end
  return nil
end

-- not_leader refuses everybody but the holder of the lease under its token.
local function not_leader(leader_key, token_key, id, token)
  local leader = redis.call('GET', leader_key)
  local current = redis.call('GET', token_key)
  if leader == id and current == token then return nil end
  return {'notleader', leader or '', current or '0'}
end

-- answer_ttl is what a request has left to live, long enough to be read.
local function answer_ttl(key, whole, least)
  local left = redis.call('PTTL', key)
  if left < 0 then return whole end
  if left < tonumber(least) then return least end
  return string.format('%.0f', left)
end
