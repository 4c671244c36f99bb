// SPDX-License-Identifier: Apache-2.0
#include "core/model/state_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/quote.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

using Bytes = absl::Span<const std::byte>;

static_assert(std::endian::native == std::endian::little,
              "values are copied as they lie in memory");

constexpr absl::string_view kMagic("\x89RWKVST\n", 8);
// Format versions.
constexpr uint32_t kStateAlone = 1;
constexpr uint32_t kWithContinuation = 2;
constexpr uint32_t kLatestVersion = kWithContinuation;

// Offsets of the sections, in bytes.
constexpr size_t kVersionOffset = 8;
constexpr size_t kArchitectureOffset = 12;
constexpr size_t kFingerprintOffset = 32;
constexpr size_t kNumValuesOffset = 64;
constexpr size_t kValuesOffset = 72;

constexpr size_t kArchitectureBytes = kFingerprintOffset - kArchitectureOffset;
constexpr size_t kFingerprintBytes = kNumValuesOffset - kFingerprintOffset;
constexpr size_t kContinuationSizeBytes = 8;
constexpr size_t kChecksumBytes = 32;

absl::string_view AsText(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

template <typename Integer>
void Append(Integer value, std::string* out) {
  for (size_t i = 0; i < sizeof(value); ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

template <typename Integer>
Integer ReadAt(Bytes bytes, size_t offset) {
  Integer value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) {
    value |= static_cast<Integer>(bytes[offset + i]) << (8 * i);
  }
  return value;
}

std::string Checksum(Bytes bytes) {
  Sha256 digest;
  digest.Update(bytes);
  return absl::HexStringToBytes(digest.Hex());
}

absl::Status Refuse(absl::string_view path, absl::string_view why) {
  return MakeError(ErrorReason::kStateInvalid, absl::StrCat(path, ": ", why));
}

absl::Status CheckFormat(Bytes bytes, absl::string_view path) {
  if (!IsStateFile(bytes)) {
    return Refuse(
        path,
        "not a state file: expected it to begin with the bytes \\x89RWKVST");
  }
  // The version comes first: files of a later version may be shorter.
  const bool has_version = bytes.size() >= kArchitectureOffset;
  const uint32_t version =
      has_version ? ReadAt<uint32_t>(bytes, kVersionOffset) : kStateAlone;
  if (version == 0 || version > kLatestVersion) {
    return Refuse(path,
                  absl::StrCat("state file of format version ", version,
                               ", expected 1 to ", kLatestVersion,
                               version > 0 ? "; this program is too old" : ""));
  }
  if (bytes.size() >= kValuesOffset + kChecksumBytes) return absl::OkStatus();
  return Refuse(path, absl::StrCat("truncated: ", bytes.size(),
                                   " bytes, expected at least ",
                                   kValuesOffset + kChecksumBytes));
}

bool HasContinuation(Bytes bytes) {
  return ReadAt<uint32_t>(bytes, kVersionOffset) == kWithContinuation;
}

// The offset of the end of the values.
size_t ValuesEnd(Bytes bytes) {
  return kValuesOffset +
         ReadAt<uint64_t>(bytes, kNumValuesOffset) * sizeof(float);
}

// Whether the continuation fills the `room` bytes between the values and the
// checksum.
absl::Status CheckContinuationSize(Bytes bytes, absl::string_view path,
                                   uint64_t room) {
  const size_t end = ValuesEnd(bytes);
  if (room < kContinuationSizeBytes) {
    return Refuse(path, absl::StrCat("truncated: ", room,
                                     " bytes after the "
                                     "values, expected at least ",
                                     kContinuationSizeBytes,
                                     ", the size of the continuation"));
  }
  const uint64_t announced = ReadAt<uint64_t>(bytes, end);
  room -= kContinuationSizeBytes;
  if (announced == room && room > 0) return absl::OkStatus();
  return Refuse(path,
                absl::StrCat("byte ", end, ": expected a continuation of ",
                             announced, " bytes, got ", room));
}

// Whether the sections, of the sizes that the header says, fill the file.
absl::Status CheckSize(Bytes bytes, absl::string_view path) {
  const uint64_t announced = ReadAt<uint64_t>(bytes, kNumValuesOffset);
  const uint64_t room = bytes.size() - kValuesOffset - kChecksumBytes;
  if (announced > room / sizeof(float)) {
    return Refuse(path, absl::StrCat("truncated: expected ", announced,
                                     " values (as byte ", kNumValuesOffset,
                                     " says), got ", room, " bytes"));
  }
  const uint64_t trailing = room - announced * sizeof(float);
  if (HasContinuation(bytes)) {
    return CheckContinuationSize(bytes, path, trailing);
  }
  if (trailing == 0) return absl::OkStatus();
  return Refuse(
      path, absl::StrCat(trailing, " bytes too many after the ", announced,
                         " values that byte ", kNumValuesOffset, " specifies"));
}

absl::Status CheckChecksum(Bytes bytes, absl::string_view path) {
  const size_t end = bytes.size() - kChecksumBytes;
  if (Checksum(bytes.first(end)) == AsText(bytes.subspan(end))) {
    return absl::OkStatus();
  }
  return Refuse(path, absl::StrCat("damaged: the SHA-256 of the first ", end,
                                   " bytes differs from the one in the file"));
}

// The name of an architecture, padded as in the file.
std::string Padded(std::string architecture) {
  architecture.resize(kArchitectureBytes, '\0');
  return architecture;
}

absl::Status CheckIdentity(Bytes bytes, absl::string_view path,
                           const ModelIdentity& identity) {
  const absl::string_view architecture =
      AsText(bytes.subspan(kArchitectureOffset, kArchitectureBytes));
  const std::string fingerprint = absl::BytesToHexString(
      AsText(bytes.subspan(kFingerprintOffset, kFingerprintBytes)));
  if (architecture != Padded(identity.architecture) ||
      fingerprint != identity.fingerprint) {
    const absl::string_view name =
        architecture.substr(0, architecture.find_last_not_of('\0') + 1);
    const absl::Status error =
        MakeError(ErrorReason::kStateOfOtherModel,
                  absl::StrCat(path, ": ", "state of another model: expected ",
                               identity.architecture, " ", identity.fingerprint,
                               ", got ", Quoted(name), " ", fingerprint));
    return WithMetadata(
        WithMetadata(error, "expected_fingerprint", identity.fingerprint),
        "state_fingerprint", fingerprint);
  }
  const uint64_t found = ReadAt<uint64_t>(bytes, kNumValuesOffset);
  if (found == static_cast<uint64_t>(identity.num_values))
    return absl::OkStatus();
  return Refuse(path, absl::StrCat("expected ", identity.num_values,
                                   " values, got ", found));
}

// Describes the first value that is not finite; empty if there is none.
std::string DescribeNonFinite(absl::Span<const float> values) {
  const auto bad = std::find_if_not(values.begin(), values.end(),
                                    [](float v) { return std::isfinite(v); });
  if (bad == values.end()) return "";
  return absl::StrCat("value ", bad - values.begin(), " of the state is ", *bad,
                      ", expected finite numbers");
}

}  // namespace

bool IsStateFile(Bytes bytes) {
  return bytes.size() >= kMagic.size() &&
         AsText(bytes.first(kMagic.size())) == kMagic;
}

absl::Status CheckStateFile(Bytes bytes, absl::string_view path) {
  RWKVD_RETURN_IF_ERROR(CheckFormat(bytes, path));
  RWKVD_RETURN_IF_ERROR(CheckSize(bytes, path));
  return CheckChecksum(bytes, path);
}

absl::StatusOr<std::string> SerializeState(const State& state,
                                           const ModelIdentity& identity,
                                           absl::string_view continuation) {
  RWKVD_CHECK(identity.architecture.size() <= kArchitectureBytes);
  RWKVD_CHECK(identity.fingerprint.size() == 2 * kFingerprintBytes);
  RWKVD_CHECK(static_cast<int64_t>(state.values().size()) ==
              identity.num_values);
  const std::string non_finite = DescribeNonFinite(state.values());
  if (!non_finite.empty()) {
    return MakeError(
        ErrorReason::kModelNotFinite,
        absl::StrCat("the model has computed a state that cannot be saved: ",
                     non_finite));
  }
  std::string out(kMagic);
  out.reserve(kValuesOffset + state.bytes() + kContinuationSizeBytes +
              continuation.size() + kChecksumBytes);
  Append(continuation.empty() ? kStateAlone : kWithContinuation, &out);
  out += Padded(identity.architecture);
  out += absl::HexStringToBytes(identity.fingerprint);
  Append(uint64_t{state.values().size()}, &out);
  out.append(reinterpret_cast<const char*>(state.values().data()),
             state.bytes());
  if (!continuation.empty()) {
    Append(uint64_t{continuation.size()}, &out);
    out.append(continuation.data(), continuation.size());
  }
  out += Checksum(AsBytes(out));
  return out;
}

absl::StatusOr<StateContents> ParseStateFile(Bytes bytes,
                                             absl::string_view path,
                                             const ModelIdentity& identity) {
  RWKVD_RETURN_IF_ERROR(CheckStateFile(bytes, path));
  RWKVD_RETURN_IF_ERROR(CheckIdentity(bytes, path, identity));
  std::vector<float> values(identity.num_values);
  if (!values.empty()) {
    std::memcpy(values.data(), bytes.data() + kValuesOffset,
                values.size() * sizeof(float));
  }
  const std::string non_finite = DescribeNonFinite(values);
  if (!non_finite.empty()) return Refuse(path, non_finite);
  StateContents file{State(std::move(values)), ""};
  if (HasContinuation(bytes)) {
    const size_t begin = ValuesEnd(bytes) + kContinuationSizeBytes;
    file.continuation = std::string(
        AsText(bytes.subspan(begin, bytes.size() - begin - kChecksumBytes)));
  }
  return file;
}

absl::StatusOr<State> ParseState(Bytes bytes, absl::string_view path,
                                 const ModelIdentity& identity) {
  RWKVD_ASSIGN_OR_RETURN(StateContents file,
                         ParseStateFile(bytes, path, identity));
  if (file.continuation.empty()) return std::move(file.state);
  return Refuse(path,
                "expected a state alone, got one with a request to continue");
}

}  // namespace rwkvd
