// SPDX-License-Identifier: Apache-2.0
#include "core/model/model.h"

#include "core/base/check.h"

namespace rwkvd {

int64_t Chunk::LogitsRows() const {
  switch (wanted) {
    case LogitsWanted::kNone:
      return 0;
    case LogitsWanted::kLast:
      return 1;
    case LogitsWanted::kAll:
      return static_cast<int64_t>(tokens.size());
  }
  RWKVD_CHECK(false);
}

}  // namespace rwkvd
