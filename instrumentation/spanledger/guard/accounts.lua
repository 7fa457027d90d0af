-- What a Redis keeps of budgets and limits, and all that is done to it: one script, so each is one round trip.
--
-- Rows are packed arrays. Amounts are whole numbers below 2^53, which doubles hold exactly; where a product could be
-- larger, it is divided first. The epoch lies among the accounts, so it is lost when they are.
--
-- KEYS  accounts, calls, live, unsent, charged, returned, over, states
-- ARGV  what to do, the epoch that the asker knows or '', one to use where there is none, its arguments as JSON
-- Answers begin with the epoch; one with nothing more: it is another, and nothing was done. Reservations and settlements
-- are answered by one text, epoch and numbers, which a client reads in a fraction of the time that as many elements take.
-- Names of constants are replaced by what they stand for before this is sent: functions are made anew each time, and for
-- each name of a local there is a search.

local ACCOUNTS, CALLS, LIVE, UNSENT, CHARGED, RETURNED, OVER, STATES = unpack(KEYS)
-- Of an account; of a rate SPENT is what the window number SLOT has.
local KIND, UNIT, SPENT, HELD, FLAGGED, UNTIL, WINDOW, SLOT, PREVIOUS = 1, 2, 3, 4, 5, 6, 7, 8, 9
-- Of a call: LINES are keys and amounts in turn.
local STATE, AT, USD, TOKENS, ESTIMATED, LINES = 1, 2, 3, 4, 5, 6
local S_LIVE, S_SETTLED, S_CHARGED, S_RETURNED, S_GONE = 0, 2, 3, 4, 5
local LEASE_MS, KEEP_CALLS_MS, KEEP_ACCOUNTS_MS, MOST_CALLS, BATCH = 120000, 691200000, 259200000, 1000000, 1000

local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local max, min, fmod, floor, format, concat = math.max, math.min, math.fmod, math.floor, string.format, table.concat

local function quotient(a, b)
  return (a - fmod(a, b)) / b
end

local function text_of(...)
  local words = {}
  for i, number in ipairs({...}) do words[i] = format('%.0f', number) end
  return concat(words, ' ')
end

local function accounts_of(keys)
  local found = call('HMGET', ACCOUNTS, unpack(keys))
  local accounts = {}
  for i, key in ipairs(keys) do
    accounts[i] = found[i] and unpacked(found[i]) or false
  end
  return accounts
end

-- Rates

local function slide(account, window, now)
  if account[WINDOW] ~= window then
    account[WINDOW], account[SPENT], account[PREVIOUS] = window, 0, 0
  end
  local elapsed = fmod(now, window)
  local at = (now - elapsed) / window
  local slot = account[SLOT]
  if at == slot + 1 then
    account[SPENT], account[PREVIOUS], account[SLOT] = 0, account[SPENT], at
  elseif at == slot - 1 then
    elapsed = 0
  elseif at ~= slot then
    account[SPENT], account[PREVIOUS], account[SLOT] = 0, 0, at
  end
  return window - elapsed
end

local function used(account, window, now)
  local left = slide(account, window, now)
  local rest = fmod(account[PREVIOUS], window)
  return (account[PREVIOUS] - rest) / window * left + quotient(rest * left, window) + account[SPENT]
end

local function correct(account, difference, at, now)
  slide(account, account[WINDOW], now)
  local counted = quotient(at, account[WINDOW])
  if difference > 0 or counted == account[SLOT] then
    account[SPENT] = max(0, account[SPENT] + difference)
  elseif counted == account[SLOT] - 1 then
    account[PREVIOUS] = max(0, account[PREVIOUS] + difference)
  end
end

-- Note when an account may be forgotten, if it is idle then.
local function over_at(key, account)
  if account[KIND] == 'rate' then
    call('ZADD', OVER, (account[SLOT] + 2) * account[WINDOW], key)
  elseif account[KIND] == 'budget' and account[UNTIL] > 0 then
    call('ZADD', OVER, account[UNTIL] + KEEP_ACCOUNTS_MS, key)
  elseif account[KIND] == 'lease' and account[HELD] == 0 then
    call('ZADD', OVER, 0, key)
  end
end

-- Calls

local function spent(row, unit, amount)
  if unit == 'usd' then return row[USD] elseif unit == 'tokens' then return row[TOKENS] end
  return amount
end

-- What a call counts for in an account: held, spent, flagged.
local function count(row, account, amount)
  local state = row[STATE]
  if account[KIND] == 'rate' then
    if state == S_SETTLED then return 0, spent(row, account[UNIT], amount), 0 end
    return 0, (state >= S_RETURNED and account[UNIT] ~= 'calls') and 0 or amount, 0
  elseif state == S_LIVE then
    return amount, 0, 0
  elseif account[KIND] == 'lease' or state >= S_RETURNED then
    return 0, 0, 0
  elseif state == S_CHARGED then
    return 0, amount, amount
  end
  local actual = spent(row, account[UNIT], amount)
  return 0, actual, row[ESTIMATED] and actual or 0
end

-- Step an account; whether when it may be forgotten has changed.
local function step_account(account, amount, before, after, now)
  local held, gone, flagged = count(before, account, amount)
  local new_held, new_gone, new_flagged = count(after, account, amount)
  if account[KIND] == 'rate' then
    local slot = account[SLOT]
    if new_gone ~= gone then correct(account, new_gone - gone, before[AT], now) end
    return account[SLOT] ~= slot
  end
  account[HELD] = account[HELD] + new_held - held
  account[SPENT] = max(0, account[SPENT] + new_gone - gone)
  account[FLAGGED] = max(0, account[FLAGGED] + new_flagged - flagged)
  return account[KIND] == 'lease' and account[HELD] == 0
end

-- Count a call for what becomes of it, in accounts of one kind or all.
local function step(id, before, after, now, kind)
  local keys, amounts = {}, {}
  for i = 1, #before[LINES], 2 do
    keys[#keys + 1], amounts[#amounts + 1] = before[LINES][i], before[LINES][i + 1]
  end
  local accounts, changes = accounts_of(keys), {}
  for i, account in ipairs(accounts) do
    if account and (not kind or account[KIND] == kind) then
      if step_account(account, amounts[i], before, after, now) then over_at(keys[i], account) end
      changes[#changes + 1], changes[#changes + 2] = keys[i], pack(account)
      if after[STATE] == S_CHARGED and account[KIND] == 'budget' then
        if account[UNIT] == 'usd' then after[USD] = max(after[USD], amounts[i]) end
        if account[UNIT] == 'tokens' then after[TOKENS] = max(after[TOKENS], amounts[i]) end
      end
    end
  end
  if #changes > 0 then call('HSET', ACCOUNTS, unpack(changes)) end
  if before[STATE] == S_LIVE then
    call('ZREM', LIVE, id)
    call('SREM', UNSENT, id)
  elseif before[STATE] == S_RETURNED then
    call('ZREM', RETURNED, id)
  end
  if after[STATE] == S_GONE then
    call('HDEL', CALLS, id)
  else
    call('HSET', CALLS, id, pack(after))
    call('ZADD', after[STATE] == S_RETURNED and RETURNED or CHARGED, after[AT], id)
  end
  return accounts
end

local function row_of(id)
  local found = call('HGET', CALLS, id)
  return found and unpacked(found)
end

local function becomes(row, state, usd, tokens, estimated)
  return {state, row[AT], usd or 0, tokens or 0, estimated or false, row[LINES]}
end

local function expire(now)
  local ids = call('ZRANGEBYSCORE', LIVE, '-inf', now, 'LIMIT', 0, BATCH)
  for _, id in ipairs(ids) do
    local row = row_of(id)
    if not row then
      call('ZREM', LIVE, id)
    elseif call('SISMEMBER', UNSENT, id) == 1 then
      step(id, row, becomes(row, S_RETURNED), now)
    else
      step(id, row, becomes(row, S_CHARGED, 0, 0, true), now)
    end
  end
  return #ids
end

-- Reserving: answers with the place of the line without room, its rate, and spent and held of each line.

local HELD_ALL, IS_THERE = -1, -2

local function look(lines, now)
  local keys = {}
  for i, line in ipairs(lines) do keys[i] = line[1] end
  local accounts, balances, refused, slots = accounts_of(keys), {}, -1, {}
  for i, line in ipairs(lines) do
    local account = accounts[i]
    if account then
      slots[i] = account[SLOT]
    else
      account = {line[2], line[3], 0, 0, 0, line[6], line[7], 0, 0}
      accounts[i] = account
    end
    local has, held = account[SPENT], account[HELD]
    if line[2] == 'rate' then has, held = used(account, line[7], now), 0 end
    balances[2 * i - 1], balances[2 * i] = has, held
    if refused < 0 and line[5] >= 0 and has + held + line[4] > line[5] then refused = i - 1 end
  end
  return refused, accounts, balances, slots
end

local function reserve(id, lines, now)
  local refused, accounts, balances, slots = look(lines, now)
  if refused >= 0 then
    if call('HEXISTS', CALLS, id) == 1 then return text_of(IS_THERE, unpack(balances)) end
    if expire(now) > 0 then refused, accounts, balances, slots = look(lines, now) end
  end
  if refused >= 0 then
    local account = accounts[refused + 1]
    return text_of(refused, account[SPENT], account[PREVIOUS], account[SLOT], unpack(balances))
  end
  local wanted = {}
  for i, line in ipairs(lines) do wanted[2 * i - 1], wanted[2 * i] = line[1], line[4] end
  if call('HSETNX', CALLS, id, pack({S_LIVE, now, 0, 0, false, wanted})) == 0 then
    return text_of(IS_THERE, unpack(balances))
  end
  local changes = {}
  for i, line in ipairs(lines) do
    local account, at = accounts[i], line[2] == 'rate' and SPENT or HELD
    account[at] = account[at] + line[4]
    local place = at == SPENT and 2 * i - 1 or 2 * i
    balances[place] = balances[place] + line[4]
    changes[2 * i - 1], changes[2 * i] = line[1], pack(account)
    if account[SLOT] ~= slots[i] then over_at(line[1], account) end
  end
  if #changes > 0 then call('HSET', ACCOUNTS, unpack(changes)) end
  call('ZADD', LIVE, now + LEASE_MS, id)
  call('SADD', UNSENT, id)
  return text_of(HELD_ALL, unpack(balances))
end

-- Settling

local function settle(id, usd, tokens, now, estimated)
  local row = row_of(id)
  if not row or row[STATE] == S_SETTLED then return '0' end
  local balances = {1}
  for i, account in ipairs(step(id, row, becomes(row, S_SETTLED, usd, tokens, estimated), now)) do
    balances[i + 1] = account and account[SPENT] or 0
  end
  return text_of(unpack(balances))
end

-- The rest, which is made only where it is asked for: making a function takes longer than a look into a row.
local function rarely_asked()
  local ops = {}

  -- Forgetting

  local function forget_calls(index, before)
    local old = call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, BATCH)
    for _, id in ipairs(old) do
      call('HDEL', CALLS, id)
      call('ZREM', index, id)
    end
    return #old
  end

  local function forget_accounts(now, ours)
    local over = call('ZRANGEBYSCORE', OVER, '-inf', now, 'LIMIT', 0, BATCH)
    for _, key in ipairs(over) do
      local account = accounts_of({key})[1]
      if not account then
        call('ZREM', OVER, key)
      elseif account[KIND] == 'rate' and (account[SLOT] + 2) * account[WINDOW] > now then
        call('ZADD', OVER, (account[SLOT] + 2) * account[WINDOW], key)
      elseif account[KIND] == 'lease' and account[HELD] > 0 then
        call('ZREM', OVER, key)
      elseif account[KIND] ~= 'budget' or (account[HELD] == 0 and account[UNTIL] + KEEP_ACCOUNTS_MS <= ours) then
        call('HDEL', ACCOUNTS, key)
        call('ZREM', OVER, key)
      end
    end
    return #over
  end

  local function floor_of(key, amount, until_ms, unit, exact)
    local account = accounts_of({key})[1] or {'budget', unit, 0, 0, 0, until_ms, 0, 0, 0}
    if exact then
      account[SPENT], account[FLAGGED] = amount, 0
    else
      account[SPENT] = max(account[SPENT], amount)
    end
    call('HSET', ACCOUNTS, key, pack(account))
    over_at(key, account)
  end

  function ops.release(id, now)
    local row = row_of(id)
    if not row or row[STATE] ~= S_LIVE then return 0 end
    step(id, row, becomes(row, S_GONE), now)
    return 1
  end

  function ops.renew(ids, now)
    for _, id in ipairs(ids) do call('ZADD', LIVE, 'XX', now + LEASE_MS, id) end
    return 0
  end

  function ops.sweep(now)
    -- Held by a clock that was ahead, and has been set back.
    for _, id in ipairs(call('ZRANGEBYSCORE', LIVE, '(' .. now + 2 * LEASE_MS, '+inf', 'LIMIT', 0, BATCH)) do
      call('ZADD', LIVE, now + 2 * LEASE_MS, id)
    end
    local ended = expire(now)
    -- One host's clock alone must not have accounts forgotten that are in use elsewhere.
    local time = call('TIME')
    local ours = min(now, time[1] * 1000 + floor(time[2] / 1000))
    local most = max(forget_calls(CHARGED, ours - KEEP_CALLS_MS), forget_calls(RETURNED, ours - KEEP_CALLS_MS))
    local extra = min(BATCH, call('ZCARD', CHARGED) - MOST_CALLS)
    if extra > 0 then
      local oldest = call('ZPOPMIN', CHARGED, extra)
      for i = 1, #oldest, 2 do call('HDEL', CALLS, oldest[i]) end
    end
    return ended, max(most, forget_accounts(now, ours)) == BATCH and 1 or 0
  end

  function ops.accounts(cursor)
    local page = call('HSCAN', ACCOUNTS, cursor, 'COUNT', BATCH)
    local told = {}
    for i = 1, #page[2], 2 do
      local key = page[2][i]
      if key ~= '' then
        local account = unpacked(page[2][i + 1])
        told[#told + 1] = {key, account[KIND], account[UNIT], account[SPENT], account[HELD], account[FLAGGED], account[UNTIL]}
      end
    end
    return page[1], told
  end

  -- Whether a text is behind another by its bytes, as sorted sets have them; `>` would go by the server's locale.
  local function is_behind(text, other)
    for i = 1, min(#text, #other) do
      local ours, theirs = text:byte(i), other:byte(i)
      if ours ~= theirs then return ours > theirs end
    end
    return #text > #other
  end

  function ops.charges(before, limit, at, after)
    local told, skipped = {}, 0
    repeat
      local ids = call('ZRANGEBYSCORE', CHARGED, at, '(' .. before, 'LIMIT', skipped, limit)
      for _, id in ipairs(ids) do
        local row = row_of(id)
        if #told < limit and (row[AT] > at or is_behind(id, after)) then
          told[#told + 1] = {id, row[AT], row[USD], row[TOKENS], row[ESTIMATED] and 1 or 0}
        end
      end
      skipped = skipped + #ids
    until #told == limit or #ids < limit
    return told
  end

  function ops.confirm(id, usd, tokens)
    local row = row_of(id)
    if not row or (row[STATE] ~= S_SETTLED and row[STATE] ~= S_CHARGED) then return 0 end
    step(id, row, becomes(row, S_SETTLED, usd, tokens), row[AT], 'budget')
    call('HDEL', CALLS, id)
    call('ZREM', CHARGED, id)
    return 1
  end

  function ops.set_spent(key, amount, until_ms, unit, expected)
    local account = accounts_of({key})[1]
    if expected ~= cjson.null and (account and account[SPENT] or 0) ~= expected then return 0 end
    floor_of(key, amount, until_ms, unit, true)
    return 1
  end

  -- What a store that was emptied has to have again: floors of accounts, and calls that are under way.
  function ops.restore(floors, calls)
    for _, floor in ipairs(floors) do floor_of(unpack(floor)) end
    for _, under_way in ipairs(calls) do
      local id, lines, now, sent = unpack(under_way)
      reserve(id, lines, now)
      if sent then call('SREM', UNSENT, id) end
    end
    return 0
  end

  function ops.states()
    return call('HGETALL', STATES)
  end

  function ops.put_state(key, value, expected)
    local kept = call('HGET', STATES, key)
    if expected == cjson.null then expected = false end
    if kept ~= expected then return 0 end
    if value == cjson.null then call('HDEL', STATES, key) else call('HSET', STATES, key, value) end
    return 1
  end

  return ops
end

local epoch = call('HGET', ACCOUNTS, '')
if not epoch then
  epoch = ARGV[3]
  call('HSET', ACCOUNTS, '', epoch)
end
if ARGV[2] ~= '' and ARGV[2] ~= epoch then return {epoch} end
local what = ARGV[1]
local often = what == 'reserve' and reserve or what == 'settle' and settle
if often then return epoch .. ' ' .. often(unpack(cjson.decode(ARGV[4]))) end
return {epoch, rarely_asked()[what](unpack(cjson.decode(ARGV[4])))}
