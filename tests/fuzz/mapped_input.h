// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_TESTS_FUZZ_MAPPED_INPUT_H_
#define RWKVD_TESTS_FUZZ_MAPPED_INPUT_H_

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "core/base/check.h"
#include "core/base/mapped_file.h"

namespace rwkvd::testing {

// A MappedFile with the given bytes that is created in memory, within
// microseconds.
//
// The last page of a mapping is filled with zeros, which hide reads beyond the
// end. The address sanitizer detects such reads here.
//
// Owned by one call of a fuzz target. Thread-compatible.
class MappedInput {
 public:
  explicit MappedInput(absl::Span<const std::byte> bytes)
      : file_(Map(bytes)), after_(After(file_->bytes())) {
    ASAN_POISON_MEMORY_REGION(after_.data(), after_.size());
  }
  ~MappedInput() { ASAN_UNPOISON_MEMORY_REGION(after_.data(), after_.size()); }
  MappedInput(const MappedInput&) = delete;
  MappedInput& operator=(const MappedInput&) = delete;

  const MappedFile& operator*() const { return *file_; }
  const MappedFile* operator->() const { return file_.get(); }

 private:
  static std::shared_ptr<const MappedFile> Map(
      absl::Span<const std::byte> bytes) {
    const int fd = memfd_create("input", MFD_CLOEXEC);
    RWKVD_CHECK(fd >= 0);
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    RWKVD_CHECK(written >= 0 && static_cast<size_t>(written) == bytes.size());
    auto file = MappedFile::Open(absl::StrCat("/proc/self/fd/", fd));
    close(fd);
    RWKVD_CHECK(file.ok());
    return *std::move(file);
  }

  // The rest of the last page.
  static absl::Span<const std::byte> After(absl::Span<const std::byte> bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t used = bytes.size() % page;
    return {bytes.data() + bytes.size(), used == 0 ? 0 : page - used};
  }

  const std::shared_ptr<const MappedFile> file_;
  const absl::Span<const std::byte> after_;
};

}  // namespace rwkvd::testing

#endif  // RWKVD_TESTS_FUZZ_MAPPED_INPUT_H_
