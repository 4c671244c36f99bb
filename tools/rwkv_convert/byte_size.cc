// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkv_convert/byte_size.h"

#include <cmath>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace rwkvd {
namespace {

struct Unit {
  absl::string_view name;
  double bytes;
};

constexpr Unit kUnits[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", 1024},
    {"MiB", 1048576},
    {"GiB", 1073741824},
    {"TiB", 1099511627776},
};

}  // namespace

bool AbslParseFlag(absl::string_view text, ByteSize* size, std::string* error) {
  *error = "expected a size such as 4GB, 500MB or 1GiB";
  const size_t end =
      std::min(text.find_first_not_of("0123456789."), text.size());
  const absl::string_view name = absl::StripAsciiWhitespace(text.substr(end));
  double number = 0;
  if (!absl::SimpleAtod(text.substr(0, end), &number)) return false;
  for (const Unit& unit : kUnits) {
    if (!absl::EqualsIgnoreCase(unit.name, name)) continue;
    const double bytes = std::floor(number * unit.bytes);
    if (bytes < 1 || bytes > 9e18) return false;
    size->bytes = static_cast<int64_t>(bytes);
    return true;
  }
  return false;
}

std::string AbslUnparseFlag(const ByteSize& size) {
  for (const Unit& unit : {kUnits[4], kUnits[3], kUnits[2]}) {
    const int64_t bytes = static_cast<int64_t>(unit.bytes);
    if (size.bytes > 0 && size.bytes % bytes == 0) {
      return absl::StrCat(size.bytes / bytes, unit.name);
    }
  }
  return absl::StrCat(size.bytes);
}

std::string ShortBytes(int64_t bytes) {
  for (const Unit& unit : {kUnits[5], kUnits[4], kUnits[3], kUnits[2]}) {
    if (bytes >= unit.bytes) {
      return absl::StrFormat("%.1f %s", bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes, " B");
}

}  // namespace rwkvd
