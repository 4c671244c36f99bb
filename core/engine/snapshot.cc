// SPDX-License-Identifier: Apache-2.0
#include "core/engine/snapshot.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/request.h"
#include "core/sampling/logits.h"
#include "core/text/utf8_stream.h"

namespace rwkvd {
namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied byte by byte");

constexpr uint64_t kResumable = 1;  // a flag

// An upper bound on the bytes of everything except state, tokens and logits.
constexpr int64_t kMaxFixedBytes = 4096;

template <typename Number>
void Append(Number number, std::string* out) {
  out->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// Appends the number of elements, then the elements.
template <typename Element>
void AppendAll(absl::Span<const Element> elements, std::string* out) {
  Append<uint64_t>(elements.size(), out);
  out->append(reinterpret_cast<const char*>(elements.data()),
              elements.size() * sizeof(Element));
}

absl::Span<const char> AsSpan(const std::string& text) {
  return {text.data(), text.size()};
}

// Reads what Append and AppendAll wrote. Once bytes are missing, all further
// reads return zeros, and done() returns false.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : rest_(bytes) {}

  template <typename Number>
  Number Read() {
    Number number = 0;
    Copy(&number, sizeof(number));
    return number;
  }

  template <typename Elements>
  void ReadAll(Elements* elements) {
    constexpr size_t kSize = sizeof(typename Elements::value_type);
    const uint64_t size = Read<uint64_t>();
    if (size > rest_.size() / kSize) ok_ = false;
    if (!ok_) return;
    elements->resize(size);
    Copy(elements->data(), size * kSize);
  }

  // Whether exactly all bytes were read.
  bool done() const { return ok_ && rest_.empty(); }

 private:
  void Copy(void* to, size_t size) {
    if (size > rest_.size()) ok_ = false;
    if (!ok_ || size == 0) return;
    std::memcpy(to, rest_.data(), size);
    rest_.remove_prefix(size);
  }

  absl::string_view rest_;
  bool ok_ = true;
};

std::string SerializeContinuation(const Snapshot& snapshot) {
  std::string out;
  Append<uint64_t>(snapshot.is_resumable ? kResumable : 0, &out);
  Append<uint64_t>(snapshot.seed, &out);
  Append<int64_t>(snapshot.prompt_tokens, &out);
  Append<int64_t>(snapshot.generated_tokens, &out);
  Append<int64_t>(snapshot.sampler.num_random_draws, &out);
  Append<double>(snapshot.sampler.surprise_limit, &out);
  Append<int64_t>(snapshot.num_pending, &out);
  AppendAll<int32_t>(snapshot.tokens, &out);
  AppendAll<float>(snapshot.logits, &out);
  AppendAll(AsSpan(snapshot.withheld_bytes), &out);
  AppendAll(AsSpan(snapshot.unfinished_text), &out);
  return out;
}

// Whether `bytes` are the beginning of a UTF-8 character.
bool IsUnfinished(absl::string_view bytes) {
  return bytes.size() <= 3 && Utf8Stream().Append(bytes).empty();
}

// What is wrong with the parsed values; empty if nothing is.
std::string FindProblem(const Snapshot& snapshot, uint64_t flags,
                        int64_t vocab_size) {
  const auto num_tokens = static_cast<int64_t>(snapshot.tokens.size());
  if (flags > kResumable) return "unknown flags";
  for (const int32_t id : snapshot.tokens) {
    if (id < 0 || id >= vocab_size) {
      return absl::StrCat("token ", id, " is not in [0, ", vocab_size, ")");
    }
  }
  const auto num_logits = static_cast<int64_t>(snapshot.logits.size());
  if (num_logits != 0 && num_logits != vocab_size) {
    return absl::StrCat(num_logits, " logits, the model has ", vocab_size);
  }
  if (!AllFinite(snapshot.logits)) return "the logits are not finite";
  if (snapshot.num_pending < 0 || snapshot.num_pending > num_tokens) {
    return absl::StrCat(snapshot.num_pending, " pending tokens of ",
                        num_tokens);
  }
  const bool knows_next = snapshot.num_pending > 0 || num_logits > 0;
  if (snapshot.is_resumable && !knows_next)
    return "resumable, but without a prediction";
  if (snapshot.prompt_tokens < 0 || snapshot.generated_tokens < 0 ||
      snapshot.generated_tokens > num_tokens) {
    return absl::StrCat(snapshot.generated_tokens, " generated tokens of ",
                        num_tokens);
  }
  if (snapshot.sampler.num_random_draws < 0 ||
      snapshot.sampler.num_random_draws > snapshot.generated_tokens) {
    return absl::StrCat(snapshot.sampler.num_random_draws,
                        " random numbers for ", snapshot.generated_tokens,
                        " tokens");
  }
  if (!std::isfinite(snapshot.sampler.surprise_limit)) {
    return "the surprise limit is not finite";
  }
  if (snapshot.withheld_bytes.size() >= kMaxStopStringBytes) {
    return absl::StrCat(snapshot.withheld_bytes.size(), " withheld bytes");
  }
  if (IsUnfinished(snapshot.unfinished_text)) return "";
  return "the unfinished text does not begin a character";
}

}  // namespace

absl::StatusOr<std::string> SerializeSnapshot(const Snapshot& snapshot,
                                              const ModelIdentity& identity) {
  return SerializeState(snapshot.state, identity,
                        SerializeContinuation(snapshot));
}

absl::StatusOr<Snapshot> ParseSnapshot(absl::Span<const std::byte> bytes,
                                       absl::string_view path,
                                       const ModelIdentity& identity,
                                       int64_t vocab_size) {
  RWKVD_ASSIGN_OR_RETURN(StateContents file,
                         ParseStateFile(bytes, path, identity));
  Snapshot snapshot;
  snapshot.state = std::move(file.state);
  if (file.continuation.empty()) return snapshot;
  Reader reader(file.continuation);
  const auto flags = reader.Read<uint64_t>();
  snapshot.is_resumable = (flags & kResumable) != 0;
  snapshot.seed = reader.Read<uint64_t>();
  snapshot.prompt_tokens = reader.Read<int64_t>();
  snapshot.generated_tokens = reader.Read<int64_t>();
  snapshot.sampler.num_random_draws = reader.Read<int64_t>();
  snapshot.sampler.surprise_limit = reader.Read<double>();
  snapshot.num_pending = reader.Read<int64_t>();
  reader.ReadAll(&snapshot.tokens);
  reader.ReadAll(&snapshot.logits);
  reader.ReadAll(&snapshot.withheld_bytes);
  reader.ReadAll(&snapshot.unfinished_text);
  const std::string problem =
      reader.done() ? FindProblem(snapshot, flags, vocab_size)
                    : absl::StrCat("its fields do not add up to its ",
                                   file.continuation.size(), " bytes");
  if (problem.empty()) return snapshot;
  return MakeError(ErrorReason::kStateInvalid,
                   absl::StrCat(path, ": invalid continuation: ", problem));
}

int64_t MaxSnapshotBytes(const ModelIdentity& identity, int64_t vocab_size,
                         int64_t num_tokens) {
  return kMaxFixedBytes + 4 * (identity.num_values + vocab_size + num_tokens);
}

}  // namespace rwkvd
