// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pth.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fixtures.h"
#include "tests/testing/pickle_writer.h"
#include "tests/testing/process_memory.h"
#include "tests/testing/pth_writer.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using testing::LittleEndian;
using testing::PickleWriter;

absl::Span<const std::byte> ByteSpan(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

absl::StatusOr<std::vector<Tensor>> ParseFile(const std::string& path) {
  auto file = MappedFile::Open(path);
  RWKVD_CHECK(file.ok());
  static auto* const kept = new std::vector<std::shared_ptr<const MappedFile>>;
  kept->push_back(*file);  // as the tensors view it
  return ParsePth(**file);
}

absl::StatusOr<std::vector<Tensor>> TensorsOfPth(const std::string& bytes) {
  const std::string path = testing::MakeTempDirectory() + "/m.pth";
  testing::WriteFileOrDie(path, bytes);
  return ParseFile(path);
}

std::string PthError(const std::string& bytes) {
  const auto tensors = TensorsOfPth(bytes);
  EXPECT_EQ(tensors.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(tensors.status().message());
  EXPECT_THAT(message, HasSubstr("/m.pth: "));
  return message;
}

// Writes tensor number `i` to `pickle`: `size` floats from element `offset` of
// storage `key`.
void WriteFloats(const std::string& key, int64_t elements, int64_t offset,
                 int64_t size, PickleWriter& pickle) {
  pickle.Global("torch._utils", "_rebuild_tensor_v2");
  pickle.Tuple(4, [&] {
    pickle.Tuple(5, [&] {
      pickle.String("storage");
      pickle.Global("torch", "FloatStorage");
      pickle.String(key);
      pickle.String("cpu");
      pickle.Int(elements);
    });
    pickle.PersistentId();
    pickle.Int(offset);
    pickle.Ints({size});
    pickle.Ints({1});
  });
  pickle.Reduce();
}

// The pickle of {"w": a tensor of one number in storage "0"}.
std::string OneTensor() {
  PickleWriter pickle;
  pickle.EmptyDict();
  pickle.SetItems(1, [&](int64_t) {
    pickle.String("w");
    WriteFloats("0", 1, 0, 1, pickle);
  });
  return pickle.Finish();
}

std::string Half() { return LittleEndian(0x3f000000, 4); }

std::string Zip(const std::vector<std::pair<std::string, std::string>>& files) {
  testing::ZipWriter zip;
  for (const auto& [name, data] : files) zip.Add(name, data);
  return zip.Finish();
}

void ExpectHalf(const std::string& bytes) {
  const auto tensors = TensorsOfPth(bytes);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ(tensors->at(0).name, "w");
  EXPECT_EQ(ToFloat(tensors->at(0)), std::vector<float>{0.5f});
}

TEST(PthTest, BothFormatsAreRecognizedByTheirFirstBytes) {
  const testing::TestTensors tensors = {{"w", {.shape = {1}, .values = {1}}}};
  EXPECT_TRUE(IsPth(ByteSpan(testing::PthBytes(tensors))));
  EXPECT_TRUE(IsPth(ByteSpan(testing::PthBytes(tensors, {.legacy = true}))));
  for (absl::string_view other :
       {"", "P", "PK\3", "PK\5\6", "\x80", "\x80\2N."}) {
    EXPECT_FALSE(IsPth(ByteSpan(other))) << other;
  }
}

TEST(ZipPthTest, RootDirectoryMayHaveAnyName) {
  for (const std::string root : {"m", "archive", "a b/c", ""}) {
    ExpectHalf(Zip({{root + "/data.pkl", OneTensor()},
                    {root + "/data/0", Half()},
                    {root + "/version", "3\n"}}));
  }
}

TEST(ZipPthTest, OtherEntriesAreIgnored) {
  ExpectHalf(Zip({{"m/.format_version", "1"},
                  {"m/.storage_alignment", "64"},
                  {"m/byteorder", "little"},
                  {"m/data.pkl", OneTensor()},
                  {"m/data/0", Half()},
                  {"m/data/1", "of no tensor"},
                  {"other/data/0", "elsewhere"},
                  {"m/.data/serialization_id", "123"}}));
}

TEST(ZipPthTest, BigEndianIsRejected) {
  EXPECT_THAT(PthError(Zip({{"m/data.pkl", OneTensor()},
                            {"m/data/0", Half()},
                            {"m/byteorder", "big"}})),
              HasSubstr("expected byteorder \"little\", got \"big\""));
}

TEST(ZipPthTest, ExactlyOnePickleIsRequired) {
  EXPECT_THAT(PthError(Zip({{"m/data/0", Half()}})),
              HasSubstr("expected an entry ROOT/data.pkl in the zip archive"));
  EXPECT_THAT(PthError(Zip({{"data.pkl", OneTensor()}})),
              HasSubstr("expected an entry ROOT/data.pkl in the zip archive"));
  EXPECT_THAT(PthError(Zip({{"a/data.pkl", OneTensor()}, {"b/data.pkl", ""}})),
              HasSubstr("found \"a/data.pkl\" and \"b/data.pkl\""));
}

TEST(ZipPthTest, ErrorInThePickleHasItsPosition) {
  EXPECT_THAT(PthError(Zip({{"m/data.pkl", "\x80\2cos\nsystem\n."}})),
              HasSubstr("m.pth: data.pkl: pickle: byte 2: unsupported global "
                        "\"os.system\""));
}

TEST(ZipPthTest, StorageMustBeInTheSameDirectory) {
  EXPECT_THAT(
      PthError(Zip({{"m/data.pkl", OneTensor()}, {"n/data/0", Half()}})),
      HasSubstr("tensor \"w\": storage \"0\" is missing from the file"));
}

// The parts of a file in the legacy format, which tests may make invalid.
struct Legacy {
  std::string magic, protocol, system, object, keys, storages;

  std::string bytes() const {
    return absl::StrCat(magic, protocol, system, object, keys, storages);
  }
};

std::string Keys(const std::vector<std::string>& keys) {
  PickleWriter pickle;
  pickle.Strings(keys);
  return pickle.Finish();
}

std::string System(bool little_endian) {
  PickleWriter pickle;
  pickle.EmptyDict();
  pickle.SetItems(1, [&](int64_t) {
    pickle.String("little_endian");
    pickle.Bool(little_endian);
  });
  return pickle.Finish();
}

std::string Number(int64_t value) {
  PickleWriter pickle;
  pickle.Int(value);
  return pickle.Finish();
}

Legacy GoodLegacy() {
  PickleWriter magic;
  magic.Long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  return {.magic = magic.Finish(),
          .protocol = Number(1001),
          .system = System(true),
          .object = OneTensor(),
          .keys = Keys({"0"}),
          .storages = LittleEndian(1, 8) + Half()};
}

struct BadLegacy {
  const char* name;
  void (*damage)(Legacy& legacy);
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const BadLegacy& bad) {
  return out << bad.name;
}

const BadLegacy kBadLegacies[] = {
    {"Protocol", [](Legacy& l) { l.protocol = Number(1002); },
     "expected protocol version 1001, got 1002"},
    {"ProtocolIsNotANumber", [](Legacy& l) { l.protocol = Keys({}); },
     "protocol version: expected a number"},
    {"BigEndian", [](Legacy& l) { l.system = System(false); },
     "written on a big-endian machine"},
    {"NoSystemInformation", [](Legacy& l) { l.system = Number(1); },
     "expected a bool \"little_endian\""},
    {"DamagedSystemInformation", [](Legacy& l) { l.system = "\x80\2."; },
     "m.pth: system information: pickle: byte 2: "},
    {"Global",
     [](Legacy& l) {
       l.object =
           "\x80\2"
           "cos\nsystem\n.";
     },
     "m.pth: object: pickle: byte 2: unsupported global \"os.system\""},
    {"NoList", [](Legacy& l) { l.keys = Number(1); },
     "storage keys: expected a list"},
    {"UnknownKey", [](Legacy& l) { l.keys = Keys({"1"}); },
     "storage \"1\": no tensor in the file refers to it"},
    {"NoKey",
     [](Legacy& l) {
       l.keys = Keys({});
       l.storages.clear();
     },
     "tensor \"w\": storage \"0\" is missing from the file"},
    {"DuplicateKey",
     [](Legacy& l) {
       l.keys = Keys({"0", "0"});
       l.storages += l.storages;
     },
     "storage \"0\": is listed twice"},
    {"NoStorage", [](Legacy& l) { l.storages.resize(7); },
     "storage \"0\": is missing; the file may be truncated"},
    {"TruncatedStorage", [](Legacy& l) { l.storages.pop_back(); },
     "storage \"0\": expected 1 elements of 4 bytes, got 3 bytes before the "
     "end "
     "of the file"},
    {"HugeStorage",
     [](Legacy& l) {
       l.storages = LittleEndian((uint64_t{1} << 62) + 1, 8) + Half();
     },
     "storage \"0\": expected 4611686018427387905 elements of 4 bytes"},
    {"WrongStorageSize",
     [](Legacy& l) { l.storages = LittleEndian(2, 8) + Half() + Half(); },
     "storage \"0\": expected 4 bytes, got 8"},
    {"TrailingBytes", [](Legacy& l) { l.storages += "xyz"; },
     "3 unexpected bytes after the last storage"},
};

TEST(LegacyPthTest, ReadsTheLegacyFormat) { ExpectHalf(GoodLegacy().bytes()); }

class InvalidLegacyPthTest : public ::testing::TestWithParam<BadLegacy> {};

TEST_P(InvalidLegacyPthTest, IsRejectedWithReason) {
  Legacy legacy = GoodLegacy();
  GetParam().damage(legacy);
  EXPECT_THAT(PthError(legacy.bytes()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, InvalidLegacyPthTest,
                         ::testing::ValuesIn(kBadLegacies),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

// A file in the legacy format with 1000 tensors in one storage of 2 GB, which
// is a hole on disk.
std::string WriteLarge() {
  constexpr int64_t kTensors = 1000, kEach = 512 << 10;
  Legacy legacy = GoodLegacy();
  PickleWriter pickle;
  pickle.EmptyOrderedDict();
  pickle.SetItems(kTensors, [&](int64_t i) {
    pickle.String(absl::StrCat("blocks.", i, ".weight"));
    WriteFloats("0", kTensors * kEach, i * kEach, kEach, pickle);
  });
  legacy.object = pickle.Finish();
  legacy.storages = LittleEndian(kTensors * kEach, 8);
  const std::string path = testing::MakeTempDirectory() + "/large.pth";
  testing::WriteFileOrDie(path, legacy.bytes());
  std::filesystem::resize_file(path,
                               legacy.bytes().size() + 4 * kTensors * kEach);
  return path;
}

TEST(PthTest, OpeningReadsNoTensorData) {
  const std::string path = WriteLarge();
  const int64_t before = testing::ResidentFileBytes();
  const auto tensors = ParseFile(path);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_LT(testing::ResidentFileBytes() - before, 1 << 20);
  ASSERT_EQ(tensors->size(), 1000u);
  EXPECT_EQ(tensors->at(999).data.size(), 2u << 20);
}

}  // namespace
}  // namespace rwkvd
