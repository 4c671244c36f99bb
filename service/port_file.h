// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_PORT_FILE_H_
#define RWKVD_SERVICE_PORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace rwkvd {

// Writes the line "grpc=ADDRESS" to a file, and "metrics=ADDRESS" and
// "health=ADDRESS" unless these are empty. The file appears when it is
// complete, so that the process that has started the server with port 0 can
// wait for it. Links are not followed: a link at `path` is replaced, and its
// target stays as it is. Unavailable, with the path and the reason, if that
// fails.
absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics,
                           const std::string& health = "");

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_PORT_FILE_H_
