// SPDX-License-Identifier: Apache-2.0
//
// Reads the input as what a Redis server sends: the first byte is the size of
// the parts in which it arrives, the rest are replies.
#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "service/states/redis_reply.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

constexpr int64_t kMaxBytes = 1000;

void Read(absl::string_view input) {
  if (input.empty()) return;
  const size_t part = static_cast<unsigned char>(input[0]) + size_t{1};
  input.remove_prefix(1);
  RedisReader reader(
      [&input, part](char* data, size_t size) -> absl::StatusOr<size_t> {
        const size_t more = std::min({size, part, input.size()});
        if (more == 0) return absl::AbortedError("end");
        std::memcpy(data, input.data(), more);
        input.remove_prefix(more);
        return more;
      });
  // A reply has at least three bytes.
  for (size_t left = input.size() / 3 + 1;; --left) {
    const auto reply = reader.Read(kMaxBytes);
    if (!reply.ok()) {
      RWKVD_CHECK(absl::IsAborted(reply.status()) ||
                  absl::IsDataLoss(reply.status()) ||
                  absl::IsOutOfRange(reply.status()));
      return;
    }
    RWKVD_CHECK(left > 0);
    RWKVD_CHECK(reply->text.size() <= RedisReader::kMaxLine);
    RWKVD_CHECK(reply->integers.size() <=
                static_cast<size_t>(RedisReader::kMaxIntegers));
    if (reply->kind == RedisReply::Kind::kBytes) {
      RWKVD_CHECK(reply->text.size() <= static_cast<size_t>(kMaxBytes));
    }
  }
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  rwkvd::Read(rwkvd::testing::AsText(data, size));
  return 0;
}
