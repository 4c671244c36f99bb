// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_ERROR_H_
#define RWKVD_CORE_BASE_ERROR_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/base/error_reason.h"

namespace rwkvd {

// Errors that programs can distinguish. A status carries what these functions
// attach as payloads, next to its field (core/base/field_error.h) and its retry
// time (core/base/retry_after.h). The service sends all of it as details of the
// call's status (cli/grpc_status.h).

// An error with the status code of `reason`.
absl::Status MakeError(ErrorReason reason, absl::string_view message);

// `status`, which is not OK, with another message and the same payloads.
absl::Status WithMessage(const absl::Status& status, absl::string_view message);

// The following functions attach one more thing to `status`, which is not OK.

// The reason; the code of `status` is that of `reason`.
absl::Status WithReason(absl::Status status, ErrorReason reason);
// A value for programs. `key` is lower case with underscores, such as "limit".
absl::Status WithMetadata(absl::Status status, absl::string_view key,
                          absl::string_view value);
// The limit that has been reached: the name of its flag without "--", or the
// name of what it counts.
absl::Status WithQuota(absl::Status status, absl::string_view quota);
// What does not exist: its type, such as "state", and its name, which may be
// any text of a client.
absl::Status WithResource(absl::Status status, absl::string_view type,
                          absl::string_view name);

// Something that a client has named and that does not exist; see WithResource.
// A value.
struct NamedResource {
  std::string type;
  std::string name;
};

// Return what has been attached to a status; empty if nothing has.
std::optional<ErrorReason> ReasonOf(const absl::Status& status);
std::vector<std::pair<std::string, std::string>> MetadataOf(
    const absl::Status& status);  // sorted by key
std::optional<std::string> QuotaOf(const absl::Status& status);
std::optional<NamedResource> ResourceOf(const absl::Status& status);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_ERROR_H_
