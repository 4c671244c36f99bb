// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_
#define RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_

// Translates checkpoints from the native layout to the layouts of other
// projects.

#include "core/model/config.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// The layout of transformers, and of the remote code of versions 5 and 6. Only
// the names differ.
TestTensors ToHuggingFace(const TestTensors& tensors,
                          Architecture architecture);

// The layout of flash-linear-attention for version 6 or 7. Old files of version
// 7 have the six token shifts in one tensor. Tensors that version 7 ignores are
// omitted.
enum class FlaAge { kNew, kOld };
TestTensors ToFla(const TestTensors& tensors, Architecture architecture,
                  FlaAge age = FlaAge::kNew);

// The layout of web-rwkv and Ai00: F16, with some other names and transposed
// LoRA matrices. The Rust converter writes those of version 7 in native
// orientation. Not for version 5.0, which web-rwkv does not support.
enum class WebRwkvConverter { kPython, kRust };
TestTensors ToWebRwkv(const TestTensors& tensors, Architecture architecture,
                      WebRwkvConverter converter = WebRwkvConverter::kPython);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_
