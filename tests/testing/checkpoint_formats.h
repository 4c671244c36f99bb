// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_CHECKPOINT_FORMATS_H_
#define RWKVD_TESTS_TESTING_CHECKPOINT_FORMATS_H_

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/model/config.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// The formats and layouts in which checkpoints are published.
enum class FileFormat {
  kSafetensors,
  kSharded,      // safetensors: three files and an index
  kPth,          // the current format of torch.save
  kPthLegacy,    // the format of torch.save before 1.6
  kPthTricky,    // wrapped; parameters, shared storages, transposed views
  kPthSharded,   // pytorch_model-0000i-of-00003.bin and an index
  kHuggingFace,  // a directory with safetensors and config.json
  kFla,          // the same for flash-linear-attention
  kFlaOld,       // the same, as it was in its first months
  kWebRwkv,      // .st, rounded to F16
  kWebRwkvRust,  // the same, by the other converter
};

const std::vector<FileFormat>& AllFileFormats();

// The format's name, of letters and underscores: "safetensors", "sharded", ...
absl::string_view NameOf(FileFormat format);

// Whether checkpoints of that version exist in that format.
bool HasFormat(Architecture architecture, FileFormat format);

// Every version in each of its formats, as parameters of tests.
using VersionAndFormat = std::tuple<Architecture, FileFormat>;
std::vector<VersionAndFormat> AllVersionsAndFormats();

// The name of a test with these parameters, such as "rwkv5_0_pth".
std::string TestName(const VersionAndFormat& parameters);

// Writes `tensors`, in the native layout, to the empty directory `directory`.
// Returns the path to open: a file or the directory. Requires
// HasFormat(architecture, format).
std::string WriteCheckpointAs(const std::string& directory,
                              const TestTensors& tensors,
                              Architecture architecture, FileFormat format);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_CHECKPOINT_FORMATS_H_
