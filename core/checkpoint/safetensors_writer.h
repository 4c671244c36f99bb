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

// Writes one safetensors file (see safetensors.h) front to back: the tensors
// are named first and their elements follow, in pieces of any size, so that
// none need be held in memory.
//
// The data begins at a multiple of 64 bytes; its tensors lie in the order in
// which they are named, one directly behind the other.
//
// Owned and used by one thread. Errors are those of the operating system, with
// the path. A file that is not finished stays where it is, and may look whole;
// who named it removes it.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;

    int64_t num_bytes() const;
  };

  // Creates the file, with room for all of it where the file system can
  // reserve that. AlreadyExists if there is something called `path`;
  // InvalidArgument if the format cannot hold the names: two are equal, one is
  // no UTF-8 or reserved, or they are too many.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, absl::Span<const Entry> entries);

  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // Writes the next bytes of the tensors: row major, little endian. No more
  // than were announced.
  absl::Status Append(absl::Span<const std::byte> bytes);

  // After the last byte announced: waits until all is on the disk. The last
  // call.
  absl::Status Finish();

 private:
  SafetensorsWriter(std::string path, int fd, int64_t data_bytes)
      : path_(std::move(path)), fd_(fd), missing_(data_bytes) {}

  absl::Status Reserve(int64_t bytes);
  absl::Status Write(absl::Span<const std::byte> bytes);

  const std::string path_;
  int fd_;           // -1 once finished
  int64_t missing_;  // bytes of tensors still to come
};

}  // namespace rwkvd

#endif  // RWKVD_CORE_CHECKPOINT_SAFETENSORS_WRITER_H_
