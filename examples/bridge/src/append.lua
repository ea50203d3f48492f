-- Appends entries, and commits the resume points together with them: Redis writes what a script has
-- done to its file as one transaction. It undoes nothing if the script fails in the middle, so what
-- can fail comes before the first write. After that, Redis no longer minds a full memory or disk.
-- KEYS: the state and the lock of the group, then the streams. ARGV: the fencing token, the
-- position, the name of the bridge, the duration of its lock in milliseconds, how many entries a
-- stream keeps; then for each entry the index of its stream in KEYS, the field and the value of its
-- resume point, the number of its arguments, and these.
local state = redis.call('HMGET', KEYS[1], 'token', 'position')
if state[1] ~= ARGV[1] or (state[2] or '0') ~= ARGV[2] then
  return redis.error_reply('FENCED another bridge leads')
end
for i = 3, #KEYS do
  -- Fails if the key is no stream.
  redis.call('XLEN', KEYS[i])
end
local at, entries, resume = 6, 0, {}
while at <= #ARGV do
  local stream, last = KEYS[tonumber(ARGV[at])], at + 3 + tonumber(ARGV[at + 3])
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[5], '*', unpack(ARGV, at + 4, last))
  resume[ARGV[at + 1]] = ARGV[at + 2]
  at, entries = last + 1, entries + 1
end
for field, value in pairs(resume) do
  redis.call('HSET', KEYS[1], field, value)
end
redis.call('HINCRBY', KEYS[1], 'position', entries)
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return entries
