// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/state_dict.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/checkpoint/unpickler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/pickle_writer.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::PickleWriter;

constexpr int64_t kElements = 24;  // of storage "0"
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

// The arguments of a call that creates a tensor, valid by default.
struct Call {
  std::string name = "w";
  std::string type = "FloatStorage";
  std::string key = "0";
  int64_t elements = kElements;  // of the storage, according to its id
  std::vector<int64_t> view;     // first and count of a view of the storage
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
};

void WriteNumber(int64_t value, PickleWriter& pickle) {
  if (value >= 0 && value < (int64_t{1} << 31)) return pickle.Int(value);
  pickle.Long(testing::LittleEndian(value, 8));
}

void WriteNumbers(const std::vector<int64_t>& values, PickleWriter& pickle) {
  pickle.Tuple(values.size(), [&] {
    for (int64_t value : values) WriteNumber(value, pickle);
  });
}

void WriteStorage(const Call& call, PickleWriter& pickle) {
  pickle.Tuple(6, [&] {
    pickle.String("storage");
    pickle.Global("torch", call.type);
    pickle.String(call.key);
    pickle.String("cpu");
    WriteNumber(call.elements, pickle);
    if (call.view.empty()) return pickle.None();
    pickle.Tuple(3, [&] {
      pickle.String("view");
      for (int64_t number : call.view) WriteNumber(number, pickle);
    });
  });
  pickle.PersistentId();
}

void WriteCall(const Call& call, PickleWriter& pickle) {
  pickle.Global("torch._utils", "_rebuild_tensor_v2");
  pickle.Tuple(4, [&] {
    WriteStorage(call, pickle);
    WriteNumber(call.offset, pickle);
    WriteNumbers(call.shape, pickle);
    WriteNumbers(call.strides, pickle);
  });
  pickle.Reduce();
}

void WriteDict(const std::vector<Call>& calls, PickleWriter& pickle) {
  pickle.EmptyOrderedDict();
  pickle.SetItems(calls.size(), [&](int64_t i) {
    pickle.String(calls[i].name);
    WriteCall(calls[i], pickle);
  });
}

// The tensors of the object that `write` pickles. Storage "0" holds kElements
// floats: 0, 1, 2, ...
absl::StatusOr<std::vector<Tensor>> ReadDict(
    const std::function<void(PickleWriter&)>& write) {
  static const auto* const floats = [] {
    auto* const values = new std::vector<float>(kElements);
    for (int64_t i = 0; i < kElements; ++i) (*values)[i] = i;
    return values;
  }();
  PickleWriter writer;
  write(writer);
  const std::string bytes = writer.Finish();
  const auto pickle = ReadPickle(
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
      "m.pth");
  RWKVD_CHECK(pickle.ok());
  const StorageMap storages = {
      {"0",
       {reinterpret_cast<const std::byte*>(floats->data()), 4 * kElements}}};
  return ReadStateDict(pickle->root(), storages, "m.pth");
}

absl::StatusOr<std::vector<Tensor>> ReadDict(const std::vector<Call>& calls) {
  return ReadDict([&](PickleWriter& pickle) { WriteDict(calls, pickle); });
}

std::vector<float> ValuesOf(const Call& call) {
  const auto tensors = ReadDict(std::vector<Call>{call});
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  if (!tensors.ok()) return {};
  return ToFloat(tensors->at(0));
}

std::string DictError(const absl::StatusOr<std::vector<Tensor>>& tensors) {
  EXPECT_EQ(tensors.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tensors.status().message()),
              ::testing::StartsWith("m.pth: "));
  return std::string(tensors.status().message());
}

TEST(StateDictTest, ReturnsTensorsInOrderAsViews) {
  const auto tensors = ReadDict({{.name = "second"}, {.name = "first"}});
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ(tensors->at(0).name, "second");
  EXPECT_EQ(tensors->at(1).name, "first");
  EXPECT_THAT(tensors->at(0).shape, ElementsAre(2, 3));
  EXPECT_TRUE(tensors->at(0).strides.empty());
  EXPECT_EQ(tensors->at(0).data.size(), 24u);
  EXPECT_EQ(tensors->at(0).data.data(), tensors->at(1).data.data());
}

TEST(StateDictTest, AppliesOffsetAndStrides) {
  EXPECT_THAT(ValuesOf({.offset = 4}), ElementsAre(4, 5, 6, 7, 8, 9));
  EXPECT_THAT(ValuesOf({.strides = {1, 2}}), ElementsAre(0, 2, 4, 1, 3, 5));
  EXPECT_THAT(ValuesOf({.offset = 1, .strides = {8, 2}}),
              ElementsAre(1, 3, 5, 9, 11, 13));
  EXPECT_THAT(ValuesOf({.offset = 23, .shape = {}, .strides = {}}),
              ElementsAre(23));
  EXPECT_THAT(ValuesOf({.shape = {1, 2}, .strides = {kHuge, 1}}),
              ElementsAre(0, 1));
  EXPECT_THAT(ValuesOf({.shape = {1, 2}, .strides = {0, 1}}),
              ElementsAre(0, 1));
  EXPECT_THAT(ValuesOf({.shape = {24}, .strides = {1}}), ::testing::SizeIs(24));
}

TEST(StateDictTest, EmptyTensorMayHaveAnyOffset) {
  EXPECT_THAT(ValuesOf({.offset = 24, .shape = {0}, .strides = {1}}),
              ElementsAre());
  EXPECT_THAT(ValuesOf({.offset = kHuge, .shape = {3, 0}, .strides = {1, 1}}),
              ElementsAre());
}

TEST(StateDictTest, ViewOfAStorageRestrictsIt) {
  EXPECT_THAT(ValuesOf({.view = {6, 6}}), ElementsAre(6, 7, 8, 9, 10, 11));
  EXPECT_THAT(DictError(ReadDict({{.view = {6, 5}}})),
              HasSubstr("exceeds its storage of 5 elements"));
  EXPECT_THAT(
      DictError(ReadDict({{.view = {20, 5}}})),
      HasSubstr(
          "a view of 5 elements from element 20 exceeds its 24 elements"));
  EXPECT_THAT(DictError(ReadDict({{.view = {2, kHuge}}})),
              HasSubstr("exceeds its 24 elements"));
}

TEST(StateDictTest, HalfPrecisionElementsHaveTwoBytes) {
  for (const auto& [type, dtype] :
       {std::pair("HalfStorage", DType::kF16),
        std::pair("BFloat16Storage", DType::kBF16)}) {
    const auto tensors =
        ReadDict({{.type = type, .elements = 2 * kElements, .offset = 4}});
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    EXPECT_EQ(tensors->at(0).dtype, dtype);
    EXPECT_EQ(tensors->at(0).data.size(), 12u);
  }
}

// {"epoch": 3, wrapper: {"x": a tensor}}
void WriteWrapped(const std::string& wrapper, PickleWriter& pickle) {
  const std::vector<Call> calls = {{.name = "x"}};
  pickle.EmptyDict();
  pickle.SetItems(2, [&](int64_t i) {
    pickle.String(i == 0 ? "epoch" : wrapper);
    if (i == 0) return pickle.Int(3);
    WriteDict(calls, pickle);
  });
}

TEST(StateDictTest, FindsAWrappedDict) {
  for (const char* wrapper :
       {"state_dict", "model_state_dict", "model", "module", "weights"}) {
    const auto tensors =
        ReadDict([&](PickleWriter& pickle) { WriteWrapped(wrapper, pickle); });
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    ASSERT_EQ(tensors->size(), 1u);
    EXPECT_EQ(tensors->at(0).name, "x");
  }
  EXPECT_FALSE(ReadDict([](PickleWriter& pickle) {
                 WriteWrapped("other", pickle);
               }).ok());
}

// {"epoch": 3, outer: {"epoch": 3, inner: {"x": a tensor}}}, or deeper
void WriteNested(int depth, PickleWriter& pickle) {
  if (depth == 0) return WriteDict({{.name = "x"}}, pickle);
  pickle.EmptyDict();
  pickle.SetItems(2, [&](int64_t i) {
    pickle.String(i == 0 ? "epoch" : depth % 2 == 0 ? "module" : "state_dict");
    if (i == 0) return pickle.Int(3);
    WriteNested(depth - 1, pickle);
  });
}

TEST(StateDictTest, FindsADictInSeveralWrappers) {
  for (int depth = 1; depth <= 5; ++depth) {
    const auto tensors =
        ReadDict([&](PickleWriter& pickle) { WriteNested(depth, pickle); });
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    EXPECT_EQ(tensors->at(0).name, "x");
  }
  EXPECT_THAT(
      DictError(ReadDict([](PickleWriter& pickle) { WriteNested(6, pickle); })),
      HasSubstr("expected a dict of tensors, or one under \"state_dict\", "));
}

TEST(StateDictTest, UnsupportedNamesAreRejectedBeforeOtherProblems) {
  EXPECT_THAT(
      DictError(ReadDict({{.name = "a", .type = "CharStorage"},
                          {.name = "blocks.0.att.key.qweight"}})),
      HasSubstr("tensor \"blocks.0.att.key.qweight\": is not supported"));
}

TEST(StateDictTest, TensorMayBeCalledModel) {
  const auto tensors = ReadDict({{.name = "model"}, {.name = "state_dict"}});
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(tensors->size(), 2u);
}

TEST(StateDictTest, IgnoresValuesOtherThanTensors) {
  const auto tensors = ReadDict([](PickleWriter& pickle) {
    pickle.EmptyDict();
    pickle.SetItems(2, [&](int64_t i) {
      if (i == 0) {
        pickle.Int(7);
        pickle.String("seven");
      } else {
        pickle.String("w");
        WriteCall({}, pickle);
      }
    });
  });
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(tensors->size(), 1u);
}

TEST(StateDictTest, DictWithoutTensorsIsRejected) {
  EXPECT_THAT(DictError(ReadDict([](PickleWriter& pickle) { pickle.Int(1); })),
              HasSubstr("expected a dict of tensors"));
  EXPECT_THAT(
      DictError(ReadDict([](PickleWriter& pickle) { WriteCall({}, pickle); })),
      HasSubstr("expected a dict of tensors"));
  EXPECT_THAT(DictError(ReadDict(std::vector<Call>{})),
              HasSubstr("expected a dict of tensors"));
}

TEST(StateDictTest, FilesConvertedByThePipPackageAreRejected) {
  for (const std::string name : {"_strategy", "_version", "_rescale_layer"}) {
    const auto message = DictError(ReadDict([&](PickleWriter& pickle) {
      WriteDict({{}}, pickle);
      pickle.SetItems(1, [&](int64_t) {
        pickle.String(name);
        pickle.String("cpu fp32");
      });
    }));
    EXPECT_THAT(message, HasSubstr("converted by the rwkv pip package"));
    EXPECT_THAT(message, HasSubstr(absl::StrCat("\"", name, "\"")));
  }
  for (const std::string suffix : {"_mx", "_rx", "_my", "_ry"}) {
    EXPECT_THAT(DictError(ReadDict({{.name = "w" + suffix}, {.name = "w"}})),
                HasSubstr(absl::StrCat("it contains \"w", suffix, "\"")));
    EXPECT_TRUE(ReadDict({{.name = "other" + suffix}, {.name = "w"}}).ok());
  }
}

struct BadCall {
  const char* name;
  Call call;
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const BadCall& bad) {
  return out << bad.name;
}

std::vector<BadCall> BadCalls() {
  const int64_t two62 = int64_t{1} << 62, two32 = int64_t{1} << 32;
  return {
      {"DoublePrecision",
       {.type = "DoubleStorage", .elements = 12},
       "expected elements of F32, F16 or BF16, got torch.DoubleStorage"},
      {"Bytes",
       {.type = "ByteStorage", .elements = 96},
       "got torch.ByteStorage"},
      {"NoStorageType",
       {.type = "Size"},
       "expected a storage type, got torch.Size"},
      {"MissingStorage",
       {.key = "1"},
       "storage \"1\" is missing from the file"},
      {"WrongStorageSize",
       {.elements = 25},
       "storage \"0\": expected 100 bytes, got 96"},
      {"HugeStorage", {.elements = kHuge}, "exceed 2^64 bytes"},
      {"NegativeStorage",
       {.elements = -1},
       "expected a storage with type, key and size"},
      {"LongKey",
       {.key = std::string(257, 'k')},
       "storage key has 257 bytes, the limit is 256"},
      {"NegativeOffset", {.offset = -1}, "a storage, an offset, a shape"},
      {"OffsetAfterTheStorage",
       {.offset = 19},
       "at element 19 exceeds its storage of 24 elements"},
      {"HugeOffset", {.offset = kHuge}, "exceeds its storage"},
      {"ShapeBeyondTheStorage",
       {.shape = {5, 5}, .strides = {5, 1}},
       "shape [5, 5] with strides [5, 1] at element 0 exceeds its storage"},
      {"StridesBeyondTheStorage", {.strides = {22, 1}}, "exceeds its storage"},
      {"StridesOverflow",
       {.shape = {5, 5}, .strides = {two62, 1}},
       "exceeds its storage"},
      {"StridesWrapAround",
       {.shape = {3, 3}, .strides = {kHuge, 1}},
       "exceeds its storage"},
      {"OffsetAndStridesWrapAround",
       {.offset = kHuge, .shape = {2, 2, 2}, .strides = {kHuge, 1, 1}},
       "exceeds its storage"},
      {"StridesSumToZero",
       {.shape = {3, 3, 3}, .strides = {two62, two62, 1}},
       "exceeds its storage"},
      {"Shape2To63",
       {.shape = {kHuge}, .strides = {1}},
       "has more than 2^60 elements"},
      {"ShapeWrapsToZero",
       {.shape = {two32, two32}, .strides = {1, 1}},
       "has more than 2^60 elements"},
      {"EmptyAndHuge",
       {.shape = {0, two62, two62}, .strides = {1, 1, 1}},
       "has more than 2^60 elements"},
      {"MoreElementsThanStored",
       {.shape = {5, 5}, .strides = {1, 1}},
       "exceeds its storage"},
      {"RepeatedElements",
       {.strides = {0, 1}},
       "shape [2, 3] with strides [0, 1] repeats elements"},
      {"NegativeShape",
       {.shape = {-1, 3}},
       "shape: expected whole numbers from 0 to 2^63-1"},
      {"NegativeStride",
       {.strides = {-1, 3}},
       "strides: expected whole numbers from 0 to 2^63-1"},
      {"StridesOfWrongRank",
       {.strides = {1}},
       "shape [2, 3] and strides [1] differ in length"},
      {"NineDimensions",
       {.shape = std::vector<int64_t>(9, 1)},
       "expected at most 8 dimensions, got 9"},
  };
}

class BadCallTest : public ::testing::TestWithParam<BadCall> {};

TEST_P(BadCallTest, IsRejectedWithTensorAndReason) {
  const std::string message =
      DictError(ReadDict({{.name = "good"}, GetParam().call}));
  EXPECT_THAT(message, ::testing::StartsWith("m.pth: tensor \"w\": "));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, BadCallTest, ::testing::ValuesIn(BadCalls()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(StateDictTest, NamesMustBeUniqueStrings) {
  EXPECT_THAT(DictError(ReadDict({{.name = "w"}, {.name = "w"}})),
              HasSubstr("tensor \"w\": occurs twice"));
  EXPECT_THAT(DictError(ReadDict([](PickleWriter& pickle) {
                pickle.EmptyDict();
                pickle.SetItems(1, [&](int64_t) {
                  pickle.Int(1);
                  WriteCall({}, pickle);
                });
              })),
              HasSubstr("expected a string as the name of each tensor"));
  EXPECT_THAT(
      DictError(ReadDict({{.name = std::string(300, '\n'), .key = "1"}})),
      ::testing::SizeIs(::testing::Lt(600u)));
}

// The limit bounds the work of code that copies all tensors of a small file.
TEST(StateDictTest, TensorsMuchLargerThanTheFileAreRejected) {
  std::vector<Call> calls;
  for (int i = 0; i < 16; ++i) {
    calls.push_back(
        {.name = absl::StrCat(i), .shape = {kElements}, .strides = {1}});
  }
  EXPECT_TRUE(ReadDict(calls).ok());
  calls.push_back({.name = "one", .shape = {kElements}, .strides = {1}});
  EXPECT_THAT(DictError(ReadDict(calls)),
              HasSubstr("tensor \"one\": the tensors up to this one take more "
                        "than 16 times"));
}

TEST(StateDictTest, CallWithOtherArgumentsIsRejected) {
  const auto message = DictError(ReadDict([](PickleWriter& pickle) {
    pickle.EmptyDict();
    pickle.SetItems(1, [&](int64_t) {
      pickle.String("w");
      pickle.Global("torch._utils", "_rebuild_tensor_v2");
      pickle.Ints({1, 2, 3, 4});
      pickle.Reduce();
    });
  }));
  EXPECT_THAT(message, HasSubstr("tensor \"w\": expected a call with"));
}

}  // namespace
}  // namespace rwkvd
