// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_LISTEN_ERROR_H_
#define RWKVD_SERVICE_LISTENER_LISTEN_ERROR_H_

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/quote.h"

namespace rwkvd {

// Unavailable: "cannot listen at ADDRESS: REASON". An address that is not
// printable ASCII is quoted.
inline absl::Status ListenError(absl::string_view address,
                                absl::string_view reason) {
  const bool printable =
      std::all_of(address.begin(), address.end(),
                  [](char c) { return absl::ascii_isgraph(c); });
  return absl::UnavailableError(absl::StrCat(
      "cannot listen at ", printable ? std::string(address) : Quoted(address),
      ": ", reason));
}

// The same with the system's reason for `error`, a value of errno.
inline absl::Status ListenError(absl::string_view address, int error) {
  return ListenError(address, std::strerror(error));
}

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_LISTEN_ERROR_H_
