// SPDX-License-Identifier: Apache-2.0
#include "service/health/readiness.h"

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

// A condition whose status a test sets, and the results that it leads to.
class ReadinessTest : public ::testing::Test {
 protected:
  ReadinessCondition Condition(absl::Status* status) {
    return {"files", [this, status] {
              absl::MutexLock lock(&mutex_);
              return *status;
            }};
  }

  void Set(absl::Status* status, const absl::Status& value) {
    absl::MutexLock lock(&mutex_);
    *status = value;
  }

  void OnChange(bool ready) {
    absl::MutexLock lock(&mutex_);
    results_.push_back(ready);
  }

  // Waits for the next results, which are `expected`.
  void Expect(const std::vector<bool>& expected) {
    absl::MutexLock lock(&mutex_);
    const auto are_there = [&] {
      mutex_.AssertHeld();
      return results_.size() >= expected.size();
    };
    mutex_.Await(absl::Condition(&are_there));
    EXPECT_EQ(results_, expected);
    results_.clear();
  }

  absl::Mutex mutex_;
  std::vector<bool> results_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ReadinessTest, ReadyAtOnceWithoutConditions) {
  Readiness readiness({}, absl::Hours(1), [&](bool ready) { OnChange(ready); });
  Expect({true});
}

TEST_F(ReadinessTest, ReportsChangesOfAnyCondition) {
  absl::Status first, second = absl::InternalError("changed");
  Readiness readiness({Condition(&first), Condition(&second)},
                      absl::Milliseconds(1),
                      [&](bool ready) { OnChange(ready); });
  Expect({false});
  Set(&second, absl::OkStatus());
  Expect({true});
  Set(&first, absl::DataLossError("damaged"));
  Expect({false});
  Set(&first, absl::InternalError("still damaged"));  // no change of the result
  Set(&first, absl::OkStatus());
  Expect({true});
}

TEST_F(ReadinessTest, DestructorDoesNotWaitForTheInterval) {
  absl::Status status;
  Readiness readiness({Condition(&status)}, absl::InfiniteDuration(),
                      [&](bool ready) { OnChange(ready); });
  Expect({true});
}

}  // namespace
}  // namespace rwkvd
