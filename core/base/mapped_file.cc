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
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

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
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("examine", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file"));
  }
  std::move(close_fd).Cancel();
  const std::shared_ptr<MappedFile> file(new MappedFile(path, fd, info));
  RWKVD_RETURN_IF_ERROR(file->Map());
  return std::shared_ptr<const MappedFile>(file);
}

absl::Status MappedFile::Map() {
  const size_t size = static_cast<size_t>(info_.st_size);
  if (size == 0) return absl::OkStatus();  // mmap fails for empty files
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_, 0);
  if (address == MAP_FAILED) return SystemError("map", path_);
  bytes_ = absl::MakeConstSpan(static_cast<const std::byte*>(address), size);
  auto registration =
      MappingRegistration::Register(address, size, path_.c_str());
  if (!registration.has_value()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot map ", path_, ": ", MappingRegistration::kMaxMappings,
        " files are mapped, which is the maximum"));
  }
  registration_.emplace(*std::move(registration));
  return absl::OkStatus();
}

absl::Status MappedFile::CheckUnchanged() const {
  if (is_lost()) {
    return absl::DataLossError(
        absl::StrCat(path_,
                     ": cannot be read any more: another process has truncated "
                     "it, or the disk has failed"));
  }
  struct stat now;
  if (fstat(fd_, &now) != 0) return SystemError("examine", path_);
  if (now.st_size != info_.st_size) {
    return absl::DataLossError(
        absl::StrCat(path_, ": changed while it was in use: it has ",
                     now.st_size, " bytes, it had ", info_.st_size));
  }
  const absl::Time modified = absl::TimeFromTimespec(now.st_mtim);
  if (modified != absl::TimeFromTimespec(info_.st_mtim)) {
    return absl::DataLossError(absl::StrCat(
        path_, ": changed while it was in use: it was modified at ",
        absl::FormatTime(modified, absl::UTCTimeZone())));
  }
  return absl::OkStatus();
}

bool MappedFile::IsReplaced() const {
  struct stat now;
  if (stat(path_.c_str(), &now) != 0) return true;
  return now.st_dev != info_.st_dev || now.st_ino != info_.st_ino;
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

absl::Status MappedFile::Read(size_t begin, absl::Span<std::byte> dst) const {
  RWKVD_CHECK(begin <= bytes_.size() && dst.size() <= bytes_.size() - begin);
  while (!dst.empty()) {
    const ssize_t size =
        pread(fd_, dst.data(), dst.size(), static_cast<off_t>(begin));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return SystemError("read", path_);
    if (size == 0) {
      return absl::DataLossError(absl::StrCat(path_, ": ends at byte ", begin,
                                              ", but had ", bytes_.size(),
                                              " bytes when it was opened"));
    }
    begin += size;
    dst.remove_prefix(size);
  }
  return absl::OkStatus();
}

void MappedFile::Release(size_t begin, size_t size) const {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t first = (begin + page - 1) / page * page;
  const size_t end = (begin + size) / page * page;
  if (first >= end) return;
  void* const address = const_cast<std::byte*>(bytes_.data()) + first;
  // An access to one page may map all pages that the page cache holds in one
  // piece, 2 MiB or more, but not beyond a range with another advice. So
  // accesses next to the released pages do not map them again. A failure costs
  // memory only.
  madvise(address, end - first, MADV_SEQUENTIAL);
  madvise(address, end - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  registration_.reset();
  if (!bytes_.empty()) {
    munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  close(fd_);
}

}  // namespace rwkvd
