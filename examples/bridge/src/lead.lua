-- Lets the bridge ARGV[1] lead, unless another one holds the lock. A lock lasts for ARGV[2]
-- milliseconds. KEYS: the state and the lock of the group. Returns the state.
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return redis.error_reply('HELD ' .. holder)
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if redis.call('HGET', KEYS[1], 'leader') ~= ARGV[1] then
  -- The fencing token: earlier leaders find another one than their own.
  redis.call('HINCRBY', KEYS[1], 'token', 1)
  redis.call('HSET', KEYS[1], 'leader', ARGV[1])
end
return redis.call('HGETALL', KEYS[1])
