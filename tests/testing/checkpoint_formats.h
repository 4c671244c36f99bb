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

// What one checkpoint can be found as.
enum class FileFormat {
  kSafetensors,
  kSharded,      // safetensors, three files and their index
  kPth,          // as torch.save writes it today
  kPthLegacy,    // as it wrote before 1.6
  kPthTricky,    // wrapped; nn.Parameters, shared storages, transposed views
  kPthSharded,   // pytorch_model-0000i-of-00003.bin and their index
  kHuggingFace,  // a folder with safetensors and config.json
  kFla,          // the same, of flash-linear-attention
  kFlaOld,       // the same, of its first months
  kWebRwkv,      // .st, rounded to F16
  kWebRwkvRust,  // the same by the other converter
};

const std::vector<FileFormat>& AllFileFormats();

// "safetensors", "sharded", "pth", ...; letters and underscores.
absl::string_view NameOf(FileFormat format);

// Whether checkpoints of that version exist in that format.
bool HasFormat(Architecture architecture, FileFormat format);

// Every version in each of its formats, for tests with these parameters.
using VersionAndFormat = std::tuple<Architecture, FileFormat>;
std::vector<VersionAndFormat> AllVersionsAndFormats();

// "rwkv5_0_pth": the name of such a test.
std::string TestName(const VersionAndFormat& parameters);

// Writes `tensors`, which are under BlinkDL's names and shapes, into the empty
// folder `directory`; returns what to open, a file or the folder. Needs
// HasFormat(architecture, format).
std::string WriteCheckpointAs(const std::string& directory,
                              const TestTensors& tensors,
                              Architecture architecture, FileFormat format);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_CHECKPOINT_FORMATS_H_
