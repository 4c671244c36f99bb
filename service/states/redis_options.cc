// SPDX-License-Identifier: Apache-2.0
#include "service/states/redis_options.h"

#include "absl/strings/str_cat.h"

namespace rwkvd {

std::string RedisOptions::address() const {
  if (!unix_path.empty()) return absl::StrCat("unix:", unix_path);
  const bool has_colon = host.find(':') != std::string::npos;
  return absl::StrCat(has_colon ? "[" : "", host, has_colon ? "]" : "", ":",
                      port);
}

}  // namespace rwkvd
