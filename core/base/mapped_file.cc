// SPDX-License-Identifier: Apache-2.0
#include "core/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace rwkvd {
namespace {

absl::Status SystemError(absl::string_view operation, const std::string& path) {
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot ", operation, " ", path));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(
    const std::string& path) {
  // With O_NONBLOCK, a pipe is opened at once and refused below; without it,
  // open would wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError("open", path);
  // The mapping outlives the descriptor.
  const absl::Cleanup close_fd = [fd] { close(fd); };

  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("examine", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file"));
  }
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0) {  // mmap fails for empty files
    return std::shared_ptr<const MappedFile>(new MappedFile(path, {}));
  }
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return SystemError("map", path);
  return std::shared_ptr<const MappedFile>(new MappedFile(
      path, absl::MakeConstSpan(static_cast<const std::byte*>(address), size)));
}

void MappedFile::Preload(size_t begin, size_t size) const {
  if (size == 0) return;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = begin / page * page;
  const std::byte* const address = bytes_.data() + first;
  const size_t length = begin + size - first;
  if (madvise(const_cast<std::byte*>(address), length, MADV_POPULATE_READ) ==
      0) {
    return;
  }
  // Linux before 5.14 has no MADV_POPULATE_READ: read a byte of each page.
  for (size_t i = 0; i < length; i += page) {
    static_cast<void>(*static_cast<const volatile std::byte*>(address + i));
  }
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace rwkvd
