// SPDX-License-Identifier: Apache-2.0
#include "service/port_file.h"

#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace rwkvd {

absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics) {
  const std::string draft = path + ".tmp";
  std::ofstream file(draft, std::ios::trunc);
  file << "grpc=" << grpc << "\n";
  if (!metrics.empty()) file << "metrics=" << metrics << "\n";
  file.close();
  if (!file || std::rename(draft.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(
        absl::StrCat("--port_file: cannot write ", path));
  }
  return absl::OkStatus();
}

}  // namespace rwkvd
