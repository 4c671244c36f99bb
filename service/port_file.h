// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_PORT_FILE_H_
#define RWKVD_SERVICE_PORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace rwkvd {

// Writes "grpc=<address>" and, unless empty, "metrics=<address>", a line each,
// to a file that appears with all of it at once, so that whoever started the
// server with port 0 can wait for it. Unavailable, naming the file, if it
// cannot be written.
absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_PORT_FILE_H_
