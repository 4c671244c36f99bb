// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_
#define RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_

// Checkpoints under the names, shapes and orientations that other projects
// give them. All take tensors as BlinkDL names and shapes them.

#include "core/model/config.h"
#include "tests/testing/test_tensor.h"

namespace rwkvd::testing {

// Transformers, and the remote code of versions 5 and 6: other names only.
TestTensors ToHuggingFace(const TestTensors& tensors,
                          Architecture architecture);

// flash-linear-attention, of version 6 or 7. Old files of version 7 hold the
// six token shifts in one tensor. What version 7 ignores is left out.
enum class FlaAge { kNew, kOld };
TestTensors ToFla(const TestTensors& tensors, Architecture architecture,
                  FlaAge age = FlaAge::kNew);

// web-rwkv and Ai00: F16, some names changed, LoRA matrices transposed. Of its
// two converters one leaves those of version 7 as they are. It knows no
// version 5.0.
enum class WebRwkvConverter { kPython, kRust };
TestTensors ToWebRwkv(const TestTensors& tensors, Architecture architecture,
                      WebRwkvConverter converter = WebRwkvConverter::kPython);

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_TESTING_LAYOUT_WRITER_H_
