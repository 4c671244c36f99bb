// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_BASE_CONTROL_GROUP_H_
#define RWKVD_CORE_BASE_CONTROL_GROUP_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace rwkvd {

// Receives the directory with the files of a control group, and whether its
// hierarchy is of version 2.
using VisitControlGroup =
    absl::FunctionRef<void(const std::string& directory, bool is_v2)>;

// Calls `visit` for the control groups that may limit this process by
// `controller`, such as "cpu": in each mounted hierarchy, the process's own
// group and all groups above it. A missing or malformed file in /proc means
// that there are no groups.
//
// `root` is the directory that holds /proc and /sys: "" for the real system, a
// temporary directory in tests.
void VisitControlGroups(const std::string& root, absl::string_view controller,
                        VisitControlGroup visit);

// The first bytes of a file, far more than the kernel writes into a file in
// /proc or /sys; empty if the file cannot be read.
std::string ReadStart(const std::string& path);

}  // namespace rwkvd

#endif  // RWKVD_CORE_BASE_CONTROL_GROUP_H_
