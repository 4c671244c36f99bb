// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_CHAT_TEMPLATE_TEXT_H_
#define RWKVD_SERVICE_CHAT_TEMPLATE_TEXT_H_

#include <string>

#include "core/checkpoint/tensor_file.h"

namespace rwkvd {

// The chat template, in Jinja, with which a gateway renders conversations for
// the model in `file`: the one that the model comes with, without the tags that
// only training needs. Otherwise DefaultChatTemplateText; logs a warning if the
// model's cannot be read.
std::string ChatTemplateTextFor(const TensorFile& file);

// The built-in template g1, as that of models without one: the format of the
// checkpoints that are published without a folder.
std::string DefaultChatTemplateText();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_CHAT_TEMPLATE_TEXT_H_
