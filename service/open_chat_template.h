// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPEN_CHAT_TEMPLATE_H_
#define RWKVD_SERVICE_OPEN_CHAT_TEMPLATE_H_

#include "absl/status/statusor.h"
#include "core/checkpoint/tensor_file.h"
#include "core/text/chat/chat_template.h"
#include "service/options/options.h"

namespace rwkvd {

// The chat template of --chat_template, or else that of the model, and logs
// where it comes from. Null, with a log line that says why, if the model comes
// with none that is known: it is served without conversations. Also null if
// the model has no text. Returns the error of FindChatTemplate.
absl::StatusOr<const ChatTemplate*> OpenChatTemplate(const Options& options,
                                                     const TensorFile& file,
                                                     bool has_text);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPEN_CHAT_TEMPLATE_H_
