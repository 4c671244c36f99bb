// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_STATES_STATE_STORE_H_
#define RWKVD_SERVICE_STATES_STATE_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace rwkvd {

// Keeps state files for a time, under handles that nobody can guess. What a
// client sends as a handle may be anything; what is none is NotFound.
//
// Owned by the served model; thread-safe. May wait for a disk, so not for the
// engine's thread.
class StateStore {
 public:
  struct Figures {
    int64_t handles = 0;
    int64_t bytes = 0;
  };

  virtual ~StateStore() = default;

  // Keeps `bytes` until `expires`, and gives their handle. ResourceExhausted if
  // there is no room, for nothing goes before its time; or what the operating
  // system reports.
  virtual absl::StatusOr<std::string> Put(std::string bytes, absl::Time now,
                                          absl::Time expires) = 0;

  // What was put. NotFound if it is not there, or not any more.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> Get(
      absl::string_view handle, absl::Time now) = 0;

  // NotFound as above.
  virtual absl::Status Delete(absl::string_view handle, absl::Time now) = 0;

  // What it held when it last looked, expired handles perhaps among it.
  virtual Figures figures() const = 0;

  // Whether its handles outlive the process.
  virtual bool outlives_process() const = 0;
};

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_STATES_STATE_STORE_H_
