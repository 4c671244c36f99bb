// SPDX-License-Identifier: Apache-2.0
// The loops behind MeasureReads, MeasureMemory and MeasureArithmetic.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/limit_loops-inl.h"
// The order matters.
// clang-format off
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "tests/bench/limit_loops-inl.h"
// clang-format on

#if HWY_ONCE

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/mapped_file.h"
#include "tests/bench/dot_loops.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/timing.h"

namespace rwkvd::bench {
namespace {

HWY_EXPORT(ReadLoop);
HWY_EXPORT(FmaLoop);

constexpr size_t kBytes = size_t{1} << 30;
constexpr int kRounds = 5;
constexpr double kArithmeticSeconds = 0.02;  // approximate length of a round

// Keeps the compiler from removing the computation of `value`.
template <typename T>
void Use(T value) {
  static std::atomic<T> sink;
  sink.store(value, std::memory_order_relaxed);
}

// kBytes of private memory whose pages have all been touched.
class Memory {
 public:
  explicit Memory(bool huge) {
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RWKVD_CHECK(memory != MAP_FAILED);
    madvise(memory, kBytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    std::memset(memory, 1, kBytes);
    bytes_ = {static_cast<const std::byte*>(memory), kBytes};
  }
  ~Memory() { munmap(const_cast<std::byte*>(bytes_.data()), kBytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  absl::Span<const std::byte> bytes() const { return bytes_; }

 private:
  absl::Span<const std::byte> bytes_;
};

// Maps a new file of kBytes in the directory for temporary files, as
// checkpoints are mapped. The file is already unlinked.
std::shared_ptr<const MappedFile> MapTemporaryFile() {
  std::string name = absl::StrCat(
      std::filesystem::temp_directory_path().string(), "/rwkvd-XXXXXX");
  const int fd = mkstemp(name.data());
  RWKVD_CHECK(fd >= 0);
  const std::vector<char> part(size_t{1} << 20, 1);
  for (size_t done = 0; done < kBytes; done += part.size()) {
    RWKVD_CHECK(write(fd, part.data(), part.size()) ==
                static_cast<ssize_t>(part.size()));
  }
  close(fd);
  auto file = MappedFile::Open(name);
  unlink(name.c_str());
  RWKVD_CHECK(file.ok());
  return *std::move(file);
}

void ReadOnce(ThreadPool& pool, Regions regions, size_t ahead) {
  const size_t threads = pool.num_threads();
  pool.ParallelFor(threads, [&](int64_t i) {
    for (absl::Span<const std::byte> region : regions) {
      const size_t part = region.size() / threads / 4 * 4;
      const size_t begin = i * part;
      const size_t size =
          i + 1 == pool.num_threads() ? region.size() - begin : part;
      Use(HWY_DYNAMIC_DISPATCH(ReadLoop)(
          reinterpret_cast<const uint8_t*>(region.data()) + begin, size,
          ahead));
    }
  });
}

Rate MeasureLoop(ThreadPool& pool, Resource resource, const std::string& how,
                 absl::FunctionRef<double(int64_t)> run) {
  const auto run_all = [&](int64_t rounds) {
    std::vector<double> done(pool.num_threads());
    const double seconds = Seconds([&] {
      pool.ParallelFor(pool.num_threads(),
                       [&](int64_t i) { done[i] = run(rounds); });
    });
    double all = 0;
    for (double own : done) all += own;
    return std::pair(all, seconds);
  };
  int64_t rounds = 1 << 10;  // doubled until they take long enough
  while (run_all(rounds).second < kArithmeticSeconds / 2) rounds *= 2;
  std::vector<double> rates;
  for (int i = 0; i < kRounds; ++i) {
    const auto [done, seconds] = run_all(rounds);
    rates.push_back(done / seconds);
  }
  return {resource, how, Median(std::move(rates))};
}

Resource ResourceOf(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kBF16:
      return Resource::kBF16;
    case Arithmetic::kInt8:
      return Resource::kInt8;
    case Arithmetic::kAmxBF16:
      return Resource::kAmxBF16;
    case Arithmetic::kAmxInt8:
      return Resource::kAmxInt8;
  }
  RWKVD_CHECK(false);
}

void Append(std::vector<Rate> more, std::vector<Rate>* rates) {
  rates->insert(rates->end(), more.begin(), more.end());
}

}  // namespace

std::vector<Rate> MeasureReads(ThreadPool& pool, Regions regions,
                               const std::string& what) {
  double bytes = 0;
  for (absl::Span<const std::byte> region : regions) bytes += region.size();
  std::vector<Rate> rates;
  for (size_t ahead : {0, 1024, 4096}) {
    std::vector<double> rounds;
    ReadOnce(pool, regions, ahead);  // maps the pages
    for (int i = 0; i < kRounds; ++i) {
      const double seconds = Seconds([&] { ReadOnce(pool, regions, ahead); });
      rounds.push_back(bytes / seconds);
    }
    const std::string how =
        ahead == 0 ? ", no prefetch" : absl::StrCat(", prefetch ", ahead);
    rates.push_back(
        {Resource::kRead, absl::StrCat(what, how), Median(std::move(rounds))});
  }
  return rates;
}

std::vector<Rate> MeasureMemory(ThreadPool& pool) {
  std::vector<Rate> rates;
  {
    const Memory memory(/*huge=*/true);
    Append(MeasureReads(pool, {memory.bytes()}, "huge pages"), &rates);
  }
  {
    const Memory memory(/*huge=*/false);
    Append(MeasureReads(pool, {memory.bytes()}, "4 KiB pages"), &rates);
  }
  const auto file = MapTemporaryFile();
  Append(MeasureReads(pool, {file->bytes()}, "mapped file"), &rates);
  return rates;
}

std::vector<Rate> MeasureArithmetic(ThreadPool& pool) {
  std::vector<Rate> rates;
  rates.push_back(MeasureLoop(
      pool, Resource::kF32, "multiply-add, widest vectors", [](int64_t rounds) {
        double operations;
        Use(HWY_DYNAMIC_DISPATCH(FmaLoop)(rounds, &operations));
        return operations;
      }));
  for (const DotLoop& loop : SupportedDotLoops()) {
    rates.push_back(MeasureLoop(pool, ResourceOf(loop.arithmetic),
                                loop.instruction, loop.run));
  }
  return rates;
}

}  // namespace rwkvd::bench

#endif  // HWY_ONCE
