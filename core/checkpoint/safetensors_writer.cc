// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/base/check.h"
#include "core/base/file_error.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kAlignment = 64;
constexpr size_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

absl::Status SystemError(absl::string_view operation, absl::string_view path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot ", operation, " ", path));
}

absl::Status NameError(const std::string& path, absl::string_view name,
                       absl::string_view problem) {
  return FileError(path).In("tensor", name)("cannot be stored: its name ",
                                            problem);
}

absl::Status HeaderTooLong(const std::string& path, size_t num) {
  return FileError(path)("header of ", num,
                         " tensors would exceed the format's limit of ",
                         kMaxHeaderBytes, " bytes");
}

// `name` as a JSON string in quotes; empty if it is not valid UTF-8.
std::string JsonString(const std::string& name) {
  std::string text =
      Json(name).dump(-1, ' ', false, Json::error_handler_t::ignore);
  const auto parsed = ParseJson(text, "name");
  return parsed.ok() && *parsed == name ? text : "";
}

// The header, padded with spaces so that the data is aligned.
absl::StatusOr<std::string> HeaderText(
    const std::string& path,
    absl::Span<const SafetensorsWriter::Entry> entries) {
  std::string text = R"({"__metadata__":{"format":"pt"})";
  absl::flat_hash_set<absl::string_view> names = {"__metadata__"};
  int64_t begin = 0;
  for (const SafetensorsWriter::Entry& entry : entries) {
    if (!names.insert(entry.name).second) {
      return NameError(path, entry.name, "is reserved or used twice");
    }
    if (text.size() + entry.name.size() > kMaxHeaderBytes) {
      return HeaderTooLong(path, entries.size());
    }
    const std::string name = JsonString(entry.name);
    if (name.empty()) return NameError(path, entry.name, "is not valid UTF-8");
    const int64_t end = begin + entry.num_bytes();
    absl::StrAppend(&text, ",", name, ":{\"dtype\":\"", NameOf(entry.dtype),
                    "\",\"shape\":[", absl::StrJoin(entry.shape, ","),
                    "],\"data_offsets\":[", begin, ",", end, "]}");
    begin = end;
  }
  text += '}';
  const size_t size = kLengthBytes + text.size();
  text.append((kAlignment - size % kAlignment) % kAlignment, ' ');
  if (text.size() > kMaxHeaderBytes) {
    return HeaderTooLong(path, entries.size());
  }
  return text;
}

absl::Span<const std::byte> BytesOf(absl::string_view text) {
  return absl::MakeConstSpan(reinterpret_cast<const std::byte*>(text.data()),
                             text.size());
}

}  // namespace

int64_t SafetensorsWriter::Entry::num_bytes() const {
  int64_t bytes = static_cast<int64_t>(SizeOf(dtype));
  for (int64_t size : shape) bytes *= size;
  return bytes;
}

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, absl::Span<const Entry> entries) {
  RWKVD_ASSIGN_OR_RETURN(const std::string header, HeaderText(path, entries));
  std::string length;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length += static_cast<char>(uint64_t{header.size()} >> (8 * i));
  }
  int64_t data_bytes = 0;
  for (const Entry& entry : entries) data_bytes += entry.num_bytes();
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return SystemError("create", path);
  auto writer = absl::WrapUnique(new SafetensorsWriter(path, fd, data_bytes));
  RWKVD_RETURN_IF_ERROR(
      writer->Reserve(length.size() + header.size() + data_bytes));
  RWKVD_RETURN_IF_ERROR(writer->Write(BytesOf(length)));
  RWKVD_RETURN_IF_ERROR(writer->Write(BytesOf(header)));
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ >= 0) close(fd_);
}

absl::Status SafetensorsWriter::Reserve(int64_t bytes) {
  while (fallocate(fd_, 0, 0, bytes) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS) break;
    return SystemError(absl::StrCat("reserve ", bytes, " bytes for"), path_);
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Write(absl::Span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", path_);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Append(absl::Span<const std::byte> bytes) {
  RWKVD_CHECK(fd_ >= 0 && static_cast<int64_t>(bytes.size()) <= remaining_);
  remaining_ -= static_cast<int64_t>(bytes.size());
  return Write(bytes);
}

absl::Status SafetensorsWriter::Finish() {
  RWKVD_CHECK(fd_ >= 0 && remaining_ == 0);
  if (fsync(fd_) != 0) return SystemError("write", path_);
  const int fd = std::exchange(fd_, -1);
  return close(fd) == 0 ? absl::OkStatus() : SystemError("write", path_);
}

}  // namespace rwkvd
