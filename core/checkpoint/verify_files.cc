// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/verify_files.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "core/base/crc32.h"
#include "core/base/mapped_file.h"
#include "core/base/quote.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/legacy_pth.h"
#include "core/checkpoint/pth.h"
#include "core/checkpoint/release_manifest.h"
#include "core/checkpoint/zip_reader.h"

namespace rwkvd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = 64 << 10;            // on the stack of a thread
constexpr int64_t kBytesBetweenReports = 16 << 20;  // of one thread

// The files next to the weights that affect what a server answers.
constexpr const char* kCompanions[] = {
    "config.json", "generation_config.json", "tokenizer.json",
    "tokenizer_config.json", "chat_template.jinja"};

// Bytes of a file and their checksum: a SHA-256 digest, or, if that is empty, a
// CRC-32.
struct Check {
  std::shared_ptr<const MappedFile> file;
  size_t begin = 0;
  size_t size = 0;
  std::string sha256;
  std::string zip_entry;
  uint32_t crc32 = 0;
};

std::string NameOf(const MappedFile& file) {
  return fs::path(file.path()).filename().string();
}

// Plans all checks of a checkpoint.
class Plan {
 public:
  explicit Plan(const TensorFile& file) : file_(file) {}

  absl::Status Make() {
    RWKVD_ASSIGN_OR_RETURN(auto manifest,
                           FindReleaseManifest(file_.directory()));
    if (manifest.has_value()) manifest_ = *std::move(manifest);
    for (const auto& file : file_.files()) {
      RWKVD_RETURN_IF_ERROR(AddWeights(file));
    }
    std::vector<std::string> companions(std::begin(kCompanions),
                                        std::end(kCompanions));
    if (IsIndex()) {
      companions.push_back(fs::path(file_.path()).filename().string());
    }
    for (const std::string& name : companions) {
      RWKVD_RETURN_IF_ERROR(AddCompanion(name));
    }
    return absl::OkStatus();
  }

  const std::vector<Check>& checks() const { return checks_; }
  // What there will be if all checks succeed.
  const VerifiedFiles& outcome() const { return outcome_; }

 private:
  // Whether the path of the checkpoint is not that of a file of weights.
  bool IsIndex() const {
    return std::none_of(
        file_.files().begin(), file_.files().end(),
        [this](const auto& file) { return file->path() == file_.path(); });
  }

  absl::Status AddDigest(std::shared_ptr<const MappedFile> file,
                         const ReleasedFile& released) {
    const size_t size = file->bytes().size();
    if (released.num_bytes.value_or(size) != static_cast<int64_t>(size)) {
      return absl::DataLossError(
          absl::StrCat(file->path(), ": expected ", *released.num_bytes,
                       " bytes according to ", kReleaseManifest, ", got ", size,
                       "; download the file again"));
    }
    ++outcome_.num_digests;
    outcome_.num_bytes += static_cast<int64_t>(size);
    checks_.push_back(
        {.file = std::move(file), .size = size, .sha256 = released.sha256});
    return absl::OkStatus();
  }

  absl::Status AddZipEntries(const std::shared_ptr<const MappedFile>& file) {
    RWKVD_ASSIGN_OR_RETURN(const std::vector<ZipEntry> entries,
                           ReadZip(file->bytes(), file->path()));
    bool lacks_checksum = false;
    for (const ZipEntry& entry : entries) {
      // torch.save can be configured to write 0 instead of the checksums.
      lacks_checksum |= entry.crc32 == 0 && !entry.data.empty();
      if (entry.crc32 == 0) continue;
      ++outcome_.num_checksums;
      outcome_.num_bytes += static_cast<int64_t>(entry.data.size());
      checks_.push_back({.file = file,
                         .begin = static_cast<size_t>(entry.data.data() -
                                                      file->bytes().data()),
                         .size = entry.data.size(),
                         .zip_entry = std::string(entry.name),
                         .crc32 = entry.crc32});
    }
    if (lacks_checksum) outcome_.unverified.push_back(file->path());
    return absl::OkStatus();
  }

  absl::Status AddWeights(const std::shared_ptr<const MappedFile>& file) {
    const auto released = manifest_.find(NameOf(*file));
    if (released != manifest_.end()) return AddDigest(file, released->second);
    if (IsPth(file->bytes()) && !IsLegacyPth(file->bytes())) {
      return AddZipEntries(file);
    }
    outcome_.unverified.push_back(file->path());
    return absl::OkStatus();
  }

  absl::Status AddCompanion(const std::string& name) {
    const auto released = manifest_.find(name);
    if (released == manifest_.end()) return absl::OkStatus();
    auto file = MappedFile::Open((fs::path(file_.directory()) / name).string());
    if (absl::IsNotFound(file.status())) return absl::OkStatus();
    RWKVD_RETURN_IF_ERROR(file.status());
    return AddDigest(*std::move(file), released->second);
  }

  const TensorFile& file_;
  ReleaseManifest manifest_;
  std::vector<Check> checks_;
  VerifiedFiles outcome_;
};

// Runs checks on any number of threads. Thread-safe.
class Checker {
 public:
  Checker(int64_t num_bytes, VerifyFilesProgress progress)
      : all_(num_bytes), progress_(progress) {}

  // Reads the bytes of `check`, unless an error has occurred before.
  void Run(const Check& check) {
    if (failed_.load(std::memory_order_relaxed)) return;
    const absl::Status status =
        check.sha256.empty() ? RunCrc32(check) : RunSha256(check);
    if (status.ok()) return;
    const absl::MutexLock lock(&mutex_);
    status_.Update(status);
    failed_.store(true, std::memory_order_relaxed);
  }

  // The first error. After all checks have run.
  absl::Status status() {
    const absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  absl::Status RunSha256(const Check& check) {
    Sha256 digest;
    RWKVD_RETURN_IF_ERROR(Read(check, [&](absl::Span<const std::byte> piece) {
      digest.Update(piece);
    }));
    const std::string found = digest.Hex();
    if (found == check.sha256) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        check.file->path(), ": expected the SHA-256 ", check.sha256, " of ",
        kReleaseManifest, ", got ", found, "; download the file again"));
  }

  absl::Status RunCrc32(const Check& check) {
    Crc32 sum;
    RWKVD_RETURN_IF_ERROR(Read(
        check, [&](absl::Span<const std::byte> piece) { sum.Update(piece); }));
    if (sum.value() == check.crc32) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        check.file->path(), ": zip entry ", Quoted(check.zip_entry),
        absl::StrFormat(": expected the CRC-32 %08x, got %08x", check.crc32,
                        sum.value()),
        "; the file is damaged, download it again"));
  }

  absl::Status Read(const Check& check,
                    absl::FunctionRef<void(absl::Span<const std::byte>)> add) {
    std::array<std::byte, kPieceBytes> buffer;
    int64_t unreported = 0;
    for (size_t done = 0; done < check.size;) {
      const auto piece = absl::MakeSpan(buffer).first(
          std::min(buffer.size(), check.size - done));
      RWKVD_RETURN_IF_ERROR(check.file->Read(check.begin + done, piece));
      add(piece);
      done += piece.size();
      unreported += static_cast<int64_t>(piece.size());
      if (unreported < kBytesBetweenReports) continue;
      RWKVD_RETURN_IF_ERROR(Report(std::exchange(unreported, 0)));
    }
    return Report(unreported);
  }

  // Counts bytes that have been read. Returns the error of an earlier call.
  absl::Status Report(int64_t num_bytes) {
    const absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    done_ += num_bytes;
    return progress_(done_, all_);
  }

  const int64_t all_;
  const VerifyFilesProgress progress_;
  std::atomic<bool> failed_{false};
  absl::Mutex mutex_;
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<VerifiedFiles> VerifyFiles(const TensorFile& file,
                                          ThreadPool& pool,
                                          VerifyFilesProgress progress) {
  Plan plan(file);
  RWKVD_RETURN_IF_ERROR(plan.Make());
  const std::vector<Check>& checks = plan.checks();
  Checker checker(plan.outcome().num_bytes, progress);
  pool.ParallelFor(static_cast<int64_t>(checks.size()),
                   [&](int64_t i) { checker.Run(checks[i]); });
  RWKVD_RETURN_IF_ERROR(checker.status());
  return plan.outcome();
}

}  // namespace rwkvd
