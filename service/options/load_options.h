// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_OPTIONS_LOAD_OPTIONS_H_
#define RWKVD_SERVICE_OPTIONS_LOAD_OPTIONS_H_

#include <string>

#include "absl/status/status.h"
#include "core/model/model_options.h"
#include "core/quantize/weight_kind.h"

namespace rwkvd {

// The model and its tokenizer, and how they are loaded. A value.
struct LoadOptions {
  std::string model;
  std::string tokenizer;  // empty: found in the model's folder
  bool allow_tokenizer_mismatch = false;
  std::string chat_template;  // a name; empty: that of the model
  std::string share_dir;      // empty: see ShareFolders
  std::string model_name;     // empty: the name of the model's file or folder
  WeightKind weights = WeightKind::kAsStored;
  ActivationKind activations = ActivationKind::kAuto;
  float group_norm_epsilon = kGroupNormEpsilon;
  bool preload = false;
  bool verify_files = false;
};

// Sets all fields to the values of their flags. InvalidArgument with the flag,
// its value and the values that are allowed.
absl::Status ReadLoadFlags(LoadOptions* options);

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_OPTIONS_LOAD_OPTIONS_H_
