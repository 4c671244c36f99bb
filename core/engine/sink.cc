// SPDX-License-Identifier: Apache-2.0
#include "core/engine/sink.h"

#include "core/base/check.h"

namespace rwkvd {

absl::string_view NameOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kStopToken:
      return "stop_token";
    case FinishReason::kEndOfText:
      return "end_of_text";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kScored:
      return "scored";
    case FinishReason::kRefused:
      return "refused";
    case FinishReason::kFailed:
      return "failed";
    case FinishReason::kModelChanged:
      return "model_changed";
  }
  RWKVD_CHECK(false);
}

}  // namespace rwkvd
