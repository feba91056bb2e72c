-- Reads everything of one pair and writes nothing.
-- ARGV: prefix of the predecessor's keys, prefix of ours, most nodes, most monitors.
-- Answer: rows {what, name, second name, value}; {'fault', key, found type, error}
-- for what could not be read.
local old, new = ARGV[1], ARGV[2]
local most_nodes, most_monitors = tonumber(ARGV[3]), tonumber(ARGV[4])
local rows = {}

local function read(what, name, second, command, key)
  local value = redis.pcall(command, key)
  if type(value) == 'table' and value.err then
    local found = redis.pcall('TYPE', key)
    if type(found) == 'table' then found = found.ok end
    rows[#rows + 1] = {'fault', key, found or '', command .. ': ' .. value.err}
    return nil
  end
  if value and (type(value) ~= 'table' or #value > 0) then
    rows[#rows + 1] = {what, name, second, value}
    return value
  end
  return nil
end

-- left tells how long a key has to live.
local function left(what, name, second, key)
  local value = redis.pcall('PTTL', key)
  if type(value) == 'table' then
    rows[#rows + 1] = {'fault', key, '', 'PTTL: ' .. value.err}
  else
    rows[#rows + 1] = {what, name, second, tostring(value)}
  end
end

local nodes, seen = {}, {}
local function node(name)
  if name and name ~= '' and not seen[name] then
    seen[name] = true
    nodes[#nodes + 1] = name
  end
end
local function nodes_in(hash, ...)
  for _, field in ipairs({...}) do
    for i = 1, #hash, 2 do
      if hash[i] == field then node(hash[i + 1]) end
    end
  end
end

local now = redis.pcall('TIME')
if now[1] then
  rows[#rows + 1] = {'time', '', '', string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))}
end
local members = read('members', '', '', 'SMEMBERS', old .. 'members') or {}
table.sort(members)
for _, m in ipairs(members) do node(m) end
read('servicemode', '', '', 'GET', old .. 'servicemode')
node(read('primary', '', '', 'GET', old .. 'primaryhost'))
node(read('secondary', '', '', 'GET', old .. 'secondaryhost'))
nodes_in(read('mode', '', '', 'HGETALL', old .. 'mode') or {}, 'active', 'passive')
read('master', '', '', 'HGETALL', old .. 'master')
nodes_in(read('assignment', '', '', 'HGETALL', new .. 'assignment') or {}, 'active', 'passive', 'from', 'to')
read('incarnation', '', '', 'GET', new .. 'incarnation')
read('leader', '', '', 'GET', new .. 'leader')
read('token', '', '', 'GET', new .. 'token')
if read('grant', '', '', 'HGETALL', new .. 'grant') then left('grant left', '', '', new .. 'grant') end
read('request', '', '', 'GET', new .. 'request')
read('pause', '', '', 'GET', new .. 'pause')
read('verdict', '', '', 'GET', new .. 'verdict')

local monitors = read('monitors', '', '', 'SMEMBERS', new .. 'monitors') or {}
table.sort(monitors)
for i, name in ipairs(nodes) do
  if i > most_nodes then break end
  read('check', name, '', 'HGETALL', old .. name .. '-check')
  read('reports', name, '', 'HGETALL', new .. 'report:' .. name)
  for j, monitor in ipairs(monitors) do
    if j > most_monitors then break end
    local view = new .. 'view:' .. monitor .. ':' .. name
    if read('view', name, monitor, 'GET', view) then left('ttl', name, monitor, view) end
  end
end
if #nodes > most_nodes then rows[#rows + 1] = {'many', old .. 'members', 'servers', tostring(#nodes)} end
if #monitors > most_monitors then rows[#rows + 1] = {'many', new .. 'monitors', 'monitors', tostring(#monitors)} end
return rows
