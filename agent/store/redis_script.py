"""The server-side step of the Redis store: one Lua script for everything that touches one call.

All keys of a call share the tag ``{call:ID}``, so the script runs on a cluster's slot as well. JSON is passed through
as text; the script never decodes it. Leases are kept on the server's clock (``TIME``). Numbers are text until they
are compared. A pending delivery is a field ``seq|endpoint`` of the hash ``dlv``; its value is
``attempt due_at claimed_until failing_since`` (0 = not).
"""

from __future__ import annotations

CALL_KEYS = ("rec", "data", "out", "dlv", "tl", "att")
"""Record, its ``data`` by top-level name, events (stream, id ``seq-0``), deliveries, timeline, attempts."""

CALL_SCRIPT = """
local rec, data, out, dlv, tl, att = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local STUCK_S = 60
local KEEP_S = 7 * 86400
local at = 2
local function arg() at = at + 1; return ARGV[at - 1] end

local function server_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function guard()
  local fence, number = arg(), tonumber(arg())
  local r = redis.call('HMGET', rec, 'fence', 'writes', 'state')
  if not r[1] then return 'unknown' end
  if fence ~= '' and r[1] ~= fence then return 'fenced' end
  if number > 0 then
    local writes = tonumber(r[2])
    if number <= writes then return 'duplicate' end
    if number > writes + 1 then return 'gap' end
    redis.call('HSET', rec, 'writes', number)
  end
  return nil, r[3]
end

local function fields(key)
  local n, flat = tonumber(arg()), {}
  for i = 1, 2 * n do flat[i] = arg() end
  if n > 0 then redis.call('HSET', key, unpack(flat)) end
end

local function skip_fields()
  local n = tonumber(arg())
  at = at + 2 * n
end

local function append(now)
  local n = tonumber(arg())
  local seq = tonumber(redis.call('HGET', rec, 'seq'))
  for _ = 1, n do
    seq = seq + 1
    redis.call('XADD', out, seq .. '-0', 'name', arg(), 'at', arg(), 'data', arg())
    local k = tonumber(arg())
    for _ = 1, k do redis.call('HSET', dlv, seq .. '|' .. arg(), '0 ' .. now .. ' 0 0') end
  end
  redis.call('HSET', rec, 'seq', seq)
end

local function keep_for_a_while()
  for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, KEEP_S) end
end

local function pending(endpoint)
  local flat, list = redis.call('HGETALL', dlv), {}
  for i = 1, #flat, 2 do
    local seq, name = string.match(flat[i], '^(%d+)|(.*)$')
    if name == endpoint then
      local a, d, c, f = string.match(flat[i + 1], '^(%S+) (%S+) (%S+) (%S+)$')
      list[#list + 1] = {field = flat[i], seq = tonumber(seq), attempt = a, due_text = d, due = tonumber(d),
                         claimed = tonumber(c), failing = tonumber(f), failing_text = f}
    end
  end
  table.sort(list, function(x, y) return x.seq < y.seq end)
  return list
end

-- First delivery that may go now, else the time when one may; nothing when none is pending.
local function first_due(endpoint, now)
  local blocked_until, next_at, choice = 0, nil, nil
  local list = pending(endpoint)
  for _, one in ipairs(list) do
    if one.claimed > now then blocked_until = math.max(blocked_until, one.claimed) end
  end
  for _, one in ipairs(list) do
    local ready = math.max(one.due, one.claimed, blocked_until)
    if ready <= now then choice = one; break end
    if not next_at or ready < next_at then next_at = ready end
    if one.failing == 0 then break end
    blocked_until = math.max(blocked_until, one.failing + STUCK_S)
  end
  return choice, next_at
end

local function next_text(endpoint, now)
  local choice, next_at = first_due(endpoint, now)
  if choice then return choice.due_text end
  return next_at and string.format('%.6f', next_at) or ''
end

local op = ARGV[1]

if op == 'create' then
  local fence, number, owner, lease_ms, now = arg(), tonumber(arg()), arg(), tonumber(arg()), arg()
  local r = redis.call('HMGET', rec, 'owner', 'writes')
  if r[1] then
    if number > 0 and r[1] == owner and tonumber(r[2]) >= number then return {'duplicate', fence} end
    return {'fenced', '0'}
  end
  fields(rec)
  redis.call('HSET', rec, 'lease_until', server_ms() + lease_ms)
  fields(data)
  append(now)
  return {'done', fence}
end

if op == 'update' then
  local refused, state = guard()
  if refused then return {refused, '0'} end
  local now = arg()
  if state == 'ended' then skip_fields() else fields(rec) end
  fields(data)
  append(now)
  if state == 'ended' then keep_for_a_while() end
  return {'done', '0'}
end

if op == 'end' then
  local refused, state = guard()
  if refused then return {refused, '0'} end
  if state == 'ended' then return {'ended', '0'} end
  local now = arg()
  fields(rec)
  fields(data)
  append(now)
  keep_for_a_while()
  return {'done', '0'}
end

if op == 'timeline' then
  local refused, state = guard()
  if refused then return {refused, '0'} end
  local n = tonumber(arg())
  for _ = 1, n do redis.call('RPUSH', tl, arg()) end
  if state == 'ended' then redis.call('EXPIRE', tl, KEEP_S) end
  return {'done', '0'}
end

if op == 'renew' then
  local owner, fence, lease_ms = arg(), arg(), tonumber(arg())
  local r = redis.call('HMGET', rec, 'owner', 'fence')
  if r[1] ~= owner or r[2] ~= fence then return 'lost' end
  redis.call('HSET', rec, 'lease_until', server_ms() + lease_ms)
  return 'ours'
end

if op == 'expired' then
  local r = redis.call('HMGET', rec, 'owner', 'state', 'lease_until')
  if not r[1] or r[2] == 'ended' then return 'no' end
  for _ = 1, tonumber(arg()) do if arg() == r[1] then return 'no' end end
  return tonumber(r[3]) < server_ms() and 'yes' or 'no'
end

if op == 'reap' then
  local owner, grace_ms, now = arg(), tonumber(arg()), arg()
  local skip = {}
  for _ = 1, tonumber(arg()) do skip[arg()] = true end
  local r = redis.call('HMGET', rec, 'owner', 'state', 'lease_until', 'fence')
  if not r[1] then return 'unknown' end
  if r[2] == 'ended' then return 'ended' end
  if owner ~= '' and r[1] ~= owner then return 'live' end
  if owner == '' and (skip[r[1]] or tonumber(r[3]) + grace_ms >= server_ms()) then return 'live' end
  redis.call('HSET', rec, 'fence', tonumber(r[4]) + 1)
  fields(rec)
  append(now)
  keep_for_a_while()
  return 'reaped'
end

if op == 'claim' then
  local endpoint, now, until_text = arg(), arg(), arg()
  local choice, next_at = first_due(endpoint, tonumber(now))
  if not choice then
    local state = redis.call('HGET', rec, 'state')
    return {'next', next_at and string.format('%.6f', next_at) or '', state or ''}
  end
  redis.call('HSET', dlv, choice.field,
             table.concat({choice.attempt, choice.due_text, until_text, choice.failing_text}, ' '))
  local entry = redis.call('XRANGE', out, choice.seq .. '-0', choice.seq .. '-0')
  return {'claimed', choice.seq, choice.attempt, choice.due_text, entry[1][2]}
end

if op == 'settle' then
  local field, endpoint, status, now, retry_at, attempt = arg(), arg(), arg(), arg(), arg(), arg()
  local value = redis.call('HGET', dlv, field)
  if value then
    if status == 'pending' then
      local a, d, c, f = string.match(value, '^(%S+) (%S+) (%S+) (%S+)$')
      if f == '0' then f = now end
      redis.call('HSET', dlv, field, table.concat({tonumber(a) + 1, retry_at, '0', f}, ' '))
    else
      redis.call('HDEL', dlv, field)
    end
  end
  redis.call('RPUSH', att, attempt)
  redis.call('EXPIRE', att, KEEP_S)
  return next_text(endpoint, tonumber(now))
end

return redis.error_reply('ERR unknown step ' .. tostring(op))
"""

HINT_SCRIPT = """
-- Move a hint only if nobody moved it meanwhile. KEYS: zset. ARGV: member, score seen, score wanted ('' = remove).
local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not seen or tonumber(seen) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
"""
