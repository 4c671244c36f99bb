// SPDX-License-Identifier: Apache-2.0
//
// Reads a state file, with and without a request: first the input itself, then
// the input followed by its checksum, since the checksum would detect nearly
// all changes of the fuzzer.
#include <string>

#include "absl/strings/escaping.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/engine/snapshot.h"
#include "core/model/state_file.h"
#include "tests/fuzz/fuzz_input.h"

namespace rwkvd {
namespace {

constexpr int64_t kVocabSize = 4;

bool IsParseError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kFailedPrecondition;
}

void Read(absl::string_view bytes) {
  const ModelIdentity identity = {"rwkv7", std::string(64, 'a'), 8};
  const auto state = ParseState(testing::AsBytes(bytes), "input", identity);
  if (!state.ok()) {
    RWKVD_CHECK(IsParseError(state.status()));
  } else {
    // The encoding of a state is unique.
    RWKVD_CHECK(SerializeState(*state, identity).value() == bytes);
  }
  const auto snapshot =
      ParseSnapshot(testing::AsBytes(bytes), "input", identity, kVocabSize);
  if (!snapshot.ok()) {
    RWKVD_CHECK(IsParseError(snapshot.status()));
  } else if (!state.ok()) {
    RWKVD_CHECK(SerializeSnapshot(*snapshot, identity).value() == bytes);
  }
}

std::string WithChecksum(absl::string_view bytes) {
  Sha256 digest;
  digest.Update(testing::AsBytes(bytes));
  return std::string(bytes) + absl::HexStringToBytes(digest.Hex());
}

}  // namespace
}  // namespace rwkvd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = rwkvd::testing::AsText(data, size);
  rwkvd::Read(input);
  rwkvd::Read(rwkvd::WithChecksum(input));
  return 0;
}
