// SPDX-License-Identifier: Apache-2.0
#include "core/base/exceptions.h"

#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;

template <typename Throw>
absl::Status StatusAfter(Throw do_throw) {
  return CatchExceptions([&]() -> absl::Status {
    do_throw();
    return absl::OkStatus();
  });
}

TEST(ExceptionsTest, LackOfMemoryIsResourceExhausted) {
  EXPECT_EQ(StatusAfter([] { throw std::bad_alloc(); }),
            MakeError(ErrorReason::kOutOfMemory, "out of memory"));
  EXPECT_EQ(StatusAfter([] {
              std::vector<int> v;
              v.reserve(v.max_size() + 1);
            }),
            MakeError(ErrorReason::kOutOfMemory, "out of memory"));
}

TEST(ExceptionsTest, LackOfThreadsIsResourceExhaustedWithTheReason) {
  const absl::Status status = StatusAfter([] {
    throw std::system_error(
        std::make_error_code(std::errc::resource_unavailable_try_again));
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("Resource temporarily unavailable"));
}

TEST(ExceptionsTest, OtherExceptionsAreInternalErrors) {
  EXPECT_EQ(StatusAfter([] { throw std::out_of_range("at"); }),
            MakeError(ErrorReason::kInternalError, "unexpected exception: at"));
  EXPECT_EQ(StatusAfter([] { throw 7; }),
            MakeError(ErrorReason::kInternalError, "unexpected exception"));
}

TEST(ExceptionsTest, ResultsArePassedThrough) {
  EXPECT_EQ(CatchExceptions([] { return absl::NotFoundError("x"); }),
            absl::NotFoundError("x"));
  const absl::StatusOr<int> seven =
      CatchExceptions([]() -> absl::StatusOr<int> { return 7; });
  EXPECT_EQ(*seven, 7);
}

}  // namespace
}  // namespace rwkvd
