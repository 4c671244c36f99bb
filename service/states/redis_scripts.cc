// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_scripts.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

// If the server has reached its maxmemory, it refuses the first command that
// may take memory. In each function below, this is the first one that changes
// anything (HINCRBY), so that no script is half done.
constexpr char kScriptBegin[] = R"(
local index, sizes, sums = KEYS[1], KEYS[2], KEYS[3]
local states, handle = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function owner_of(name) return string.sub(name, 1, 12) end
local function sum(name) return tonumber(redis.call('HGET', sums, name) or 0) end
local function add(name, bytes)
  redis.call('HINCRBY', sums, 'all', bytes)
  local owner = owner_of(name)
  if redis.call('HINCRBY', sums, owner, bytes) <= 0 then
    redis.call('HDEL', sums, owner)
  end
end
local function remove(name)
  local bytes = redis.call('HGET', sizes, name)
  if bytes then
    add(name, -bytes)
    redis.call('HDEL', sizes, name)
  end
  redis.call('ZREM', index, name)
end
local function set(name, bytes, due)
  add(name, bytes - (redis.call('HGET', sizes, name) or 0))
  redis.call('HSET', sizes, name, bytes)
  redis.call('ZADD', index, due, name)
end
local function refresh(name)
  local left = redis.call('PTTL', states .. name)
  local bytes = redis.pcall('STRLEN', states .. name)
  if left > 0 and type(bytes) == 'number' then
    set(name, bytes, now + left)
    return 1
  end
  remove(name)
  return 0
end
local due = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 1000)
for _, name in ipairs(due) do refresh(name) end
)";

constexpr char kReserve[] = R"(
local size, max, max_owned = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local all, owned = sum('all'), sum(owner_of(handle))
if size > max - all then
  local next = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
  return {1, all, redis.call('ZCARD', index), (next[2] or now) - now}
end
if size > max_owned - owned then
  return {2, all, redis.call('ZCARD', index), owned}
end
set(handle, size, now + ARGV[6])
return {0, all + size, redis.call('ZCARD', index), 0}
)";

constexpr char kRefresh[] = R"(
local found = refresh(handle)
return {found, sum('all'), redis.call('ZCARD', index), 0}
)";

}  // namespace

absl::string_view ReserveScript() {
  static const auto* const script =
      new std::string(absl::StrCat(kScriptBegin, kReserve));
  return *script;
}

absl::string_view RefreshScript() {
  static const auto* const script =
      new std::string(absl::StrCat(kScriptBegin, kRefresh));
  return *script;
}

}  // namespace rwkvd
