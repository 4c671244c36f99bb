// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CORE_CHECKPOINT_SAFETENSORS_WRITER_H_
#define RWKVD_CORE_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/dtype.h"

namespace rwkvd {

// Writes one safetensors file (see safetensors.h) front to back: first the
// header for all tensors, then their elements in chunks of any size, so that no
// tensor need be in memory as a whole.
//
// The data begins at a multiple of 64 bytes. The tensors follow one another
// without gaps, in the order of the entries.
//
// Used by one thread. Errors are those of the operating system, with the path.
// The caller must remove an unfinished file, which may look complete.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;

    int64_t num_bytes() const;
  };

  // Creates the file and reserves space for all of it if the file system
  // supports that. Returns AlreadyExists if `path` exists, and InvalidArgument
  // if the names are invalid: not unique, not UTF-8, reserved, or too many.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, absl::Span<const Entry> entries);

  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // Writes the next bytes of the tensors, row-major and little endian. The
  // total must not exceed the size of all entries.
  absl::Status Append(absl::Span<const std::byte> bytes);

  // Flushes the file to disk and closes it. Call it last, after all bytes have
  // been appended.
  absl::Status Finish();

 private:
  SafetensorsWriter(std::string path, int fd, int64_t data_bytes)
      : path_(std::move(path)), fd_(fd), remaining_(data_bytes) {}

  absl::Status Reserve(int64_t bytes);
  absl::Status Write(absl::Span<const std::byte> bytes);

  const std::string path_;
  int fd_;             // -1 once finished
  int64_t remaining_;  // bytes of tensors not yet appended
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SAFETENSORS_WRITER_H_
