// SPDX-License-Identifier: Apache-2.0
// Hostile files in the format of torch.save.

#include <sys/mman.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/mapped_file.h"
#include "core/checkpoint/pth.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/process_memory.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::LittleEndian;
using ::testing::StartsWith;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// One second, or more for code with sanitizers.
constexpr double kMaxSeconds = kSanitized ? 20 : 1;
constexpr int64_t kMaxExtraBytes = 200 << 20;

std::string Repeated(absl::string_view text, int64_t times) {
  std::string result;
  result.reserve(text.size() * times);
  for (int64_t i = 0; i < times; ++i) absl::StrAppend(&result, text);
  return result;
}

// Opcodes that push a string, a number or an object of the memo.
std::string Text(absl::string_view text) {
  return absl::StrCat("X", LittleEndian(text.size(), 4), text);
}
std::string Int(uint32_t value) {
  return absl::StrCat("J", LittleEndian(value, 4));
}
std::string Get(uint32_t index) {
  return absl::StrCat("j", LittleEndian(index, 4));
}
// The opcode that stores the top of the stack in the memo.
std::string Put(uint32_t index) {
  return absl::StrCat("r", LittleEndian(index, 4));
}

std::string PickleOf(absl::string_view opcodes) {
  return absl::StrCat("\x80\x02", opcodes, ".");
}

std::string Storage(absl::string_view key) {
  return absl::StrCat("(", Text("storage"), "ctorch\nFloatStorage\n", Text(key),
                      Text("cpu"), Int(1), "tQ");
}

std::string Tensor1(absl::string_view storage) {
  return absl::StrCat("ctorch._utils\n_rebuild_tensor_v2\n(", storage, Int(0),
                      Int(1), "\x85", Int(1), "\x85\x89)tR");
}

// A zip archive of the given object and a storage "0" of one number.
std::string ZipOf(absl::string_view opcodes) {
  testing::ZipWriter zip;
  zip.Add("m/data.pkl", PickleOf(opcodes));
  zip.Add("m/data/0", LittleEndian(0, 4));
  return zip.Finish();
}

// A file in the legacy format. `storages` follows the pickle of their keys.
std::string LegacyOf(absl::string_view opcodes, absl::string_view keys,
                     absl::string_view storages) {
  return absl::StrCat(
      PickleOf("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
      PickleOf("M\xe9\x03"),
      PickleOf(absl::StrCat("}", Text("little_endian"), "\x88s")),
      PickleOf(opcodes), PickleOf(keys), storages);
}

struct Bomb {
  const char* name;
  std::string (*make)();
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const Bomb& bomb) {
  return out << bomb.name;
}

constexpr char kNoTensors[] = "expected a dict of tensors";
constexpr char kTooMany[] = "more than 1000000 opcodes";

const Bomb kBombs[] = {
    {"ListInItself",
     [] { return ZipOf(absl::StrCat("]", Put(0), Get(0), "a")); }, kNoTensors},
    {"DictInItself",
     [] {
       return ZipOf(absl::StrCat("}", Put(0), Text("state_dict"), Get(0), "s"));
     },
     kNoTensors},
    {"DoublingLists",
     [] {
       std::string opcodes = absl::StrCat("]", Put(0));
       for (uint32_t i = 0; i < 100'000; ++i) {
         absl::StrAppend(&opcodes, "0](", Get(i), Get(i), "e", Put(i + 1));
       }
       return ZipOf(opcodes);
     },
     kNoTensors},
    {"NestedTuples",
     [] { return ZipOf(absl::StrCat(")", Repeated("\x85", 900'000))); },
     kNoTensors},
    {"NestedLists",
     [] {
       return ZipOf(
           absl::StrCat(Repeated("]", 400'000), Repeated("a", 399'999)));
     },
     kNoTensors},
    {"Marks", [] { return ZipOf(Repeated("(", 900'000)); }, "one object"},
    {"MaximumNumberOfOpcodes",
     [] { return ZipOf(absl::StrCat(")", Repeated("\x85q\x01", 499'000))); },
     kNoTensors},
    {"TooManyOpcodes", [] { return ZipOf(Repeated("N", 5'000'000)); },
     kTooMany},
    // A long list is converted to a dict, or a size, again and again.
    {"RepeatedCopiesOfPairs",
     [] {
       return ZipOf(absl::StrCat(
           "](", Repeated("NN\x86", 100'000), "e\x85", Put(0),
           Repeated(absl::StrCat("ccollections\nOrderedDict\n", Get(0), "R"),
                    50'000)));
     },
     kTooMany},
    {"RepeatedCopiesOfASize",
     [] {
       return ZipOf(absl::StrCat(
           "(", Repeated("N", 100'000), "t\x85", Put(0),
           Repeated(absl::StrCat("ctorch\nSize\n", Get(0), "R"), 50'000)));
     },
     kTooMany},
    // A long dict is searched for tensors as often as it is wrapped.
    {"RepeatedWrapping",
     [] {
       return ZipOf(absl::StrCat(
           "(", Text("state_dict"), Put(0), "(", Repeated("NN", 200'000), "d",
           Put(1), Repeated(absl::StrCat(Get(0), Get(1)), 200'000), "d"));
     },
     kNoTensors},
    {"RepeatedLongName",
     [] {
       return ZipOf(absl::StrCat(
           "(", Text(std::string(1 << 20, 'x')), Put(0), Tensor1(Storage("0")),
           Repeated(absl::StrCat(Get(0), "N"), 200'000), "d"));
     },
     "occurs twice"},
    {"RepeatedLongKey",
     [] {
       const std::string key(1 << 20, 'k');
       return LegacyOf(
           absl::StrCat("(", Text("w"), Tensor1(Storage(key)), Text("id"), "(",
                        Text("storage"), "ctorch\nFloatStorage\n", Text(key),
                        Text("cpu"), Int(1), "t", Put(0), "Q",
                        Repeated(absl::StrCat("N", Get(0), "Q"), 200'000), "d"),
           absl::StrCat("](", Text(key), "e"),
           absl::StrCat(LittleEndian(1, 8), LittleEndian(0, 4)));
     },
     "bytes, the limit is"},
    {"OneTensorWithManyNames",
     [] {
       std::string opcodes =
           absl::StrCat("(", Text("w"), Tensor1(Storage("0")), Put(0));
       for (int i = 0; i < 200'000; ++i) {
         absl::StrAppend(&opcodes, Text(absl::StrCat(i)), Get(0));
       }
       return ZipOf(absl::StrCat(opcodes, "d"));
     },
     "bytes of the file's storages"},
    {"StringLongerThanTheFile",
     [] {
       return ZipOf(absl::StrCat("\x8d", LittleEndian(~uint64_t{0} >> 1, 8)));
     },
     "truncated"},
    {"EndlessGlobal",
     [] { return ZipOf(absl::StrCat("c", std::string(1 << 20, 'g'))); },
     "does not end within"},
    {"StorageOf2To63Elements",
     [] {
       return LegacyOf(absl::StrCat("(", Text("w"), Tensor1(Storage("0")), "d"),
                       absl::StrCat("](", Text("0"), "e"),
                       LittleEndian(uint64_t{1} << 63, 8));
     },
     "9223372036854775808 elements of 4 bytes"},
    {"ManyIdsOfOneStorage",
     [] {
       return LegacyOf(absl::StrCat("(", Text("w"), Tensor1(Storage("0")), "d"),
                       absl::StrCat("](", Text("0"), Put(0),
                                    Repeated(Get(0), 200'000), "e"),
                       Repeated(std::string(12, '\1'), 10));
     },
     "\"0\""},
};

absl::Status ReadHostile(const std::string& path) {
  const auto file = MappedFile::Open(path);
  RWKVD_CHECK(file.ok());
  const auto tensors = ParsePth(**file);
  if (!tensors.ok()) return tensors.status();
  for (const Tensor& tensor : *tensors) ToFloat(tensor);
  return absl::OkStatus();
}

class BombTest : public ::testing::TestWithParam<Bomb> {
 protected:
  const std::string path_ = testing::MakeTempDirectory() + "/bomb.pth";
};

TEST_P(BombTest, IsRejectedWithinASecond) {
  testing::WriteFileOrDie(path_, GetParam().make());
  const std::clock_t begin = std::clock();  // CPU time
  const absl::Status status = ReadHostile(path_);
  const double seconds = double(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, kMaxSeconds);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith(path_ + ": "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
  EXPECT_LT(status.message().size(), 2000u);
}

TEST_P(BombTest, TakesBoundedMemory) {
  if (kSanitized) GTEST_SKIP() << "instrumented code takes more memory";
  testing::WriteFileOrDie(path_, GetParam().make());
  EXPECT_LT(
      testing::PeakBytes([this] { static_cast<void>(ReadHostile(path_)); }),
      kMaxExtraBytes);
}

INSTANTIATE_TEST_SUITE_P(All, BombTest, ::testing::ValuesIn(kBombs),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

// Files of both formats with two tensors that share a storage; one of them is a
// parameter.
std::vector<std::string> SmallFiles() {
  testing::TestTensors tensors;
  tensors["a"] = {.shape = {2}, .dtype = DType::kBF16, .values = {1, 2}};
  tensors["b"] = {.shape = {2, 2}, .values = {3, 4, 5, 6}};
  tensors["c"] = {.shape = {2, 2}, .values = {7, 8, 9, 10}};
  testing::PthOptions options = {
      .parameters = true, .shared_storage = true, .transposed = true};
  const std::string zip = testing::PthBytes(tensors, options);
  options.legacy = true;
  return {zip, testing::PthBytes(tensors, options)};
}

// Writes a file to memory, thousands of times.
class PthHostileTest : public ::testing::Test {
 protected:
  PthHostileTest() : fd_(memfd_create("pth", MFD_CLOEXEC)) {
    RWKVD_CHECK(fd_ >= 0);
    path_ = absl::StrCat("/proc/self/fd/", fd_);
  }
  ~PthHostileTest() override { close(fd_); }

  // Checks that the result is tensors, or an error that names the file.
  absl::Status ReadThis(absl::string_view bytes) {
    RWKVD_CHECK(ftruncate(fd_, 0) == 0);
    const ssize_t size = pwrite(fd_, bytes.data(), bytes.size(), 0);
    RWKVD_CHECK(size == static_cast<ssize_t>(bytes.size()));
    const absl::Status status = ReadHostile(path_);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StartsWith(status.message(), path_ + ": ")) << status;
    }
    return status;
  }

  const int fd_;
  std::string path_;
};

TEST_F(PthHostileTest, EveryTruncationIsRejected) {
  for (const std::string& whole : SmallFiles()) {
    for (size_t size = 0; size < whole.size(); ++size) {
      EXPECT_FALSE(ReadThis(whole.substr(0, size)).ok()) << size;
    }
    EXPECT_TRUE(ReadThis(whole).ok());
  }
}

TEST_F(PthHostileTest, EveryChangedByteIsHandled) {
  for (const std::string& whole : SmallFiles()) {
    for (size_t i = 0; i < whole.size(); ++i) {
      const int old = whole[i];
      for (int changed :
           {old ^ 1, old ^ 0x10, old ^ 0x80, 0, 0xff, int{'('}, int{'.'}}) {
        std::string bytes = whole;
        bytes[i] = static_cast<char>(changed);
        static_cast<void>(ReadThis(bytes));
      }
    }
  }
}

TEST_F(PthHostileTest, EveryMissingByteIsHandled) {
  for (const std::string& whole : SmallFiles()) {
    for (size_t i = 0; i < whole.size(); ++i) {
      std::string bytes = whole;
      bytes.erase(i, 1);
      static_cast<void>(ReadThis(bytes));
    }
  }
}

}  // namespace
}  // namespace rwkvd
