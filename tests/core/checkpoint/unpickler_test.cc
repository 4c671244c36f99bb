// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unpickler.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/zip_writer.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using Kind = PickleObject::Kind;

// The bytes of a string literal, including zeros.
template <size_t size>
std::string Raw(const char (&literal)[size]) {
  return std::string(literal, size - 1);
}

absl::StatusOr<Pickle> ReadBytes(absl::string_view bytes) {
  return ReadPickle(
      {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()},
      "m.pth: data.pkl");
}

// The result of a pickle of the given opcodes. Keeps the bytes, which the
// objects view.
absl::StatusOr<Pickle> ReadOpcodes(absl::string_view opcodes,
                                   int protocol = 2) {
  static auto* const kept = new std::vector<std::unique_ptr<std::string>>;
  kept->push_back(std::make_unique<std::string>(
      absl::StrCat("\x80", testing::LittleEndian(protocol, 1), opcodes, ".")));
  return ReadBytes(*kept->back());
}

const PickleObject& Root(const absl::StatusOr<Pickle>& pickle) {
  static const PickleObject* const none = new PickleObject;
  EXPECT_TRUE(pickle.ok()) << pickle.status();
  return pickle.ok() ? pickle->root() : *none;
}

std::string PickleError(absl::string_view opcodes) {
  const auto pickle = ReadOpcodes(opcodes);
  EXPECT_EQ(pickle.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(pickle.status().message());
}

// Formats the items of a container: numbers, strings or other containers.
std::string Describe(const PickleObject& object) {
  switch (object.kind) {
    case Kind::kInt:
      return absl::StrCat(object.integer);
    case Kind::kString:
    case Kind::kGlobal:
      return std::string(object.text);
    case Kind::kTuple:
    case Kind::kList:
    case Kind::kDict: {
      std::string items;
      for (const PickleObject* item : object.items) {
        absl::StrAppend(&items, items.empty() ? "" : " ", Describe(*item));
      }
      if (object.kind == Kind::kTuple) return absl::StrCat("(", items, ")");
      if (object.kind == Kind::kList) return absl::StrCat("[", items, "]");
      return absl::StrCat("{", items, "}");
    }
    default:
      return absl::StrCat("#", static_cast<int>(object.kind));
  }
}

std::string Built(absl::string_view opcodes, int protocol = 2) {
  const auto pickle = ReadOpcodes(opcodes, protocol);
  return Describe(Root(pickle));
}

TEST(UnpicklerTest, ReadsIntegersOfAllSizes) {
  const std::pair<std::string, int64_t> numbers[] = {
      {Raw("K\xff"), 255},
      {Raw("M\xff\xff"), 65535},
      {Raw("J\xff\xff\xff\xff"), -1},
      {Raw("J\x00\x00\x00\x80"), INT32_MIN},
      {Raw("\x8a\x00"), 0},
      {Raw("\x8a\x01\xff"), -1},
      {Raw("\x8a\x02\xff\x00"), 255},
      {Raw("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX},
      {Raw("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"), INT64_MIN},
      {Raw("\x8b\x02\x00\x00\x00\x00\x80"), -32768},
  };
  for (const auto& [opcodes, value] : numbers) {
    const auto pickle = ReadOpcodes(opcodes);
    EXPECT_EQ(Root(pickle).kind, Kind::kInt) << value;
    EXPECT_EQ(Root(pickle).integer, value);
  }
  const auto pickle =
      ReadOpcodes(Raw("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"));
  EXPECT_EQ(Root(pickle).kind, Kind::kBigInt);
  EXPECT_EQ(Root(pickle).text.size(), 9u);
}

TEST(UnpicklerTest, ReadsStringsOfAllKinds) {
  for (const std::string& opcodes :
       {Raw("X\x03\x00\x00\x00") + "abc", Raw("\x8c\x03") + "abc",
        Raw("\x8d\x03\x00\x00\x00\x00\x00\x00\x00") + "abc",
        Raw("T\x03\x00\x00\x00") + "abc", Raw("U\x03") + "abc"}) {
    const auto pickle = ReadOpcodes(opcodes);
    EXPECT_EQ(Root(pickle).kind, Kind::kString);
    EXPECT_EQ(Root(pickle).text, "abc");
  }
  for (const std::string& opcodes :
       {Raw("B\x03\x00\x00\x00") + "abc", Raw("C\x03") + "abc",
        Raw("\x8e\x03\x00\x00\x00\x00\x00\x00\x00") + "abc"}) {
    const auto pickle = ReadOpcodes(opcodes);
    EXPECT_EQ(Root(pickle).kind, Kind::kBytes);
    EXPECT_EQ(Root(pickle).text, "abc");
  }
}

TEST(UnpicklerTest, ReadsOtherLiterals) {
  EXPECT_EQ(Root(ReadOpcodes("N")).kind, Kind::kNone);
  EXPECT_EQ(Root(ReadOpcodes(Raw("G\x3f\xf0\x00\x00\x00\x00\x00\x00"))).kind,
            Kind::kFloat);
  const auto yes = ReadOpcodes("\x88"), no = ReadOpcodes("\x89");
  EXPECT_EQ(Root(yes).kind, Kind::kBool);
  EXPECT_EQ(Root(yes).integer, 1);
  EXPECT_EQ(Root(no).kind, Kind::kBool);
  EXPECT_EQ(Root(no).integer, 0);
}

TEST(UnpicklerTest, ReadsContainers) {
  EXPECT_EQ(Built(")"), "()");
  EXPECT_EQ(Built("K\1\x85"), "(1)");
  EXPECT_EQ(Built("K\1K\2\x86"), "(1 2)");
  EXPECT_EQ(Built("K\1K\2K\3\x87"), "(1 2 3)");
  EXPECT_EQ(Built("(K\1K\2K\3K\4t"), "(1 2 3 4)");
  EXPECT_EQ(Built("(t"), "()");
  EXPECT_EQ(Built("]"), "[]");
  EXPECT_EQ(Built("]K\1a"), "[1]");
  EXPECT_EQ(Built("](K\1K\2e(K\3e"), "[1 2 3]");
  EXPECT_EQ(Built("(K\1K\2l"), "[1 2]");
  EXPECT_EQ(Built("}"), "{}");
  EXPECT_EQ(Built("}K\1K\2s"), "{1 2}");
  EXPECT_EQ(Built("}(K\1K\2K\3K\4u"), "{1 2 3 4}");
  EXPECT_EQ(Built("(K\1K\2d"), "{1 2}");
  EXPECT_EQ(Built("((K\1tK\2t"), "((1) 2)");
}

TEST(UnpicklerTest, ReadsObjectsFromTheMemo) {
  EXPECT_EQ(Built("]q\7K\1ah\7\x86"), "([1] [1])");
  EXPECT_EQ(Built(Raw("]r\x07\x01\x00\x00K\1aj\x07\x01\x00\x00\x86")),
            "([1] [1])");
  // kMemoize numbers objects from 0.
  EXPECT_EQ(Built("(K\5\x94K\6\x94" + Raw("h\x01h\x00") + "t"), "(5 6 6 5)");
}

TEST(UnpicklerTest, PopRemovesObjects) {
  EXPECT_EQ(Built("K\1K\2"
                  "0"),
            "1");
  EXPECT_EQ(Built("K\1(K\2K\3"
                  "1"),
            "1");
}

TEST(UnpicklerTest, FramesAreIgnored) {
  for (int protocol : {4, 5}) {
    EXPECT_EQ(Built(Raw("\x95\x02\x00\x00\x00\x00\x00\x00\x00K\1"), protocol),
              "1");
  }
  EXPECT_THAT(PickleError(Raw("\x95\xff\x00\x00\x00\x00\x00\x00\x00K\1")),
              HasSubstr("truncated"));
}

TEST(UnpicklerTest, ReadsGlobalsOfBothOpcodes) {
  EXPECT_EQ(Built("ctorch\nFloatStorage\n"), "torch.FloatStorage");
  EXPECT_EQ(Built("U\5torchU\013HalfStorage\x93"), "torch.HalfStorage");
}

TEST(UnpicklerTest, OrderedDictIsADict) {
  const std::string name = "ccollections\nOrderedDict\n";
  EXPECT_EQ(Built(name + ")R"), "{}");
  EXPECT_EQ(Built(name + ")RK\1K\2s"), "{1 2}");
  // The call that Python 2 writes.
  EXPECT_EQ(Built(name + "](K\1K\2\x86(K\3K\4le\x85R"), "{1 2 3 4}");
  // A dict with an attribute.
  EXPECT_EQ(Built(name + ")R}X\1" + Raw("\x00\x00\x00") + "aK\1sb"), "{}");
}

TEST(UnpicklerTest, SizeIsATuple) {
  EXPECT_EQ(Built("ctorch\nSize\nK\1K\2\x86\x85R"), "(1 2)");
}

TEST(UnpicklerTest, TensorsAndParametersKeepTheArgumentsOfTheCall) {
  for (const char* name : {"ctorch._utils\n_rebuild_tensor\n",
                           "ctorch._utils\n_rebuild_tensor_v2\n"}) {
    const auto pickle = ReadOpcodes(absl::StrCat(name, "K\1K\2\x86R"));
    ASSERT_EQ(Root(pickle).kind, Kind::kTensor);
    EXPECT_EQ(Describe(*Root(pickle).arguments), "(1 2)");
  }
  for (const char* name : {"ctorch._utils\n_rebuild_parameter\n",
                           "ctorch._utils\n_rebuild_parameter_with_state\n"}) {
    const auto pickle = ReadOpcodes(absl::StrCat(
        name, "ctorch._utils\n_rebuild_tensor_v2\nK\1K\2\x86R\x88)\x87R"));
    ASSERT_EQ(Root(pickle).kind, Kind::kTensor);
    EXPECT_EQ(Describe(*Root(pickle).arguments), "(1 2)");
  }
}

TEST(UnpicklerTest, PersistentIdIsAStorage) {
  const auto pickle = ReadOpcodes("U\7storageK\1\x86Q");
  ASSERT_EQ(Root(pickle).kind, Kind::kStorage);
  EXPECT_EQ(Describe(*Root(pickle).arguments), "(storage 1)");
}

TEST(UnpicklerTest, PickleEndsAtItsStopOpcode) {
  const auto pickle = ReadBytes(Raw("\x80\x02K\1.and more"));
  ASSERT_TRUE(pickle.ok()) << pickle.status();
  EXPECT_EQ(pickle->num_bytes(), 5u);
  EXPECT_EQ(pickle->objects().size(), 1u);
}

TEST(UnpicklerTest, RepeatedKeyHasItsLastValue) {
  const auto pickle = ReadOpcodes("}(U\1aK\1U\1aK\2K\3K\4u");
  const PickleObject* const value = Root(pickle).Find("a");
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(value->integer, 2);
  EXPECT_EQ(Root(pickle).Find("b"), nullptr);
  EXPECT_EQ(value->Find("a"), nullptr);
}

struct BadPickle {
  const char* name;
  std::string bytes;
  const char* message;
};

std::ostream& operator<<(std::ostream& out, const BadPickle& bad) {
  return out << bad.name;
}

BadPickle Bad(const char* name, absl::string_view opcodes,
              const char* message) {
  return {name, absl::StrCat("\x80\x02", opcodes, "."), message};
}

std::vector<BadPickle> BadPickles() {
  return {
      {"Empty", "", "byte 0: truncated"},
      {"NoProtocol", "N.", "expected a pickle of protocol 2 to 5"},
      {"Protocol1", "\x80\1N.", "expected protocol 2 to 5, got 1"},
      {"Protocol6", "\x80\6N.", "expected protocol 2 to 5, got 6"},
      {"NoStop", "\x80\2N", "byte 3: truncated"},
      Bad("Nothing", "", "expected one object on the stack at the end, got 0"),
      Bad("TwoObjects", "NN",
          "expected one object on the stack at the end, got 2"),
      Bad("MarkAtTheEnd", "(N", "got 1 objects and 1 marks"),
      Bad("System", "cos\nsystem\nU\2ls\x85R",
          "byte 2: unsupported global \"os.system\""),
      Bad("StackedSystem", "U\2osU\6system\x93",
          "byte 14: unsupported global \"os.system\""),
      Bad("LongGlobal", absl::StrCat("c", std::string(300, 'm'), "\nn\n"),
          "does not end within 256 bytes"),
      Bad("GlobalOfNumbers", "K\1K\2\x93",
          "expected strings as module and name of a global"),
      Bad("TypeWithAnotherPrefix", "ctorchFloat\nStorage\n",
          "unsupported global"),
      Bad("NewObject", "ctorch\nSize\n)\x81", "unsupported opcode 0x81"),
      Bad("Instance", "(cos\nsystem\no", "unsupported global"),
      Bad("TextualPersistentId", "Pid\n", "unsupported opcode 0x50"),
      Bad("Extension", "\x82\1", "unsupported opcode 0x82"),
      Bad("CallOfATuple", "))R",
          "expected a call of a global with a tuple of arguments"),
      Bad("CallWithoutATuple", "ctorch\nSize\nNR",
          "expected a call of a global with a tuple of arguments"),
      Bad("CallOfAStorage", "ctorch\nFloatStorage\n)R",
          "unsupported call of torch.FloatStorage"),
      Bad("SizeOfNothing", "ctorch\nSize\n)R",
          "unsupported call of torch.Size"),
      Bad("ParameterOfNothing", "ctorch._utils\n_rebuild_parameter\n)R",
          "unsupported call of torch._utils._rebuild_parameter"),
      Bad("ParameterOfANumber", "ctorch._utils\n_rebuild_parameter\nK\1\x85R",
          "unsupported call of torch._utils._rebuild_parameter"),
      Bad("OrderedDictOfATuple", "ccollections\nOrderedDict\n)\x85R",
          "unsupported call of collections.OrderedDict"),
      Bad("OrderedDictOfTriples",
          "ccollections\nOrderedDict\n]((K\1K\2K\3te\x85R",
          "unsupported call of"),
      Bad("IdOfANumber", "K\1Q",
          "expected a persistent id that names a storage"),
      Bad("IdOfAnEmptyTuple", ")Q",
          "expected a persistent id that names a storage"),
      Bad("IdOfAModule", "U\6moduleK\1\x86Q",
          "expected a persistent id that names a storage"),
      Bad("StateOfATuple", ")Nb", "expected a dict to set attributes of"),
      Bad("StateOfNothing", "Nb",
          "expected an object on the stack, found none"),
      Bad("NothingToPop", "0", "byte 2: expected an object on the stack"),
      Bad("NothingAboveTheMark", "K\1(0",
          "expected an object on the stack, found none"),
      Bad("PairOfOne", "K\1\x86",
          "expected an object on the stack, found none"),
      Bad("PairAcrossAMark", "K\1(K\2\x86",
          "expected an object on the stack, found none"),
      Bad("NoMark", "K\1t", "expected a mark on the stack, found none"),
      Bad("AppendToNothing", "K\1a",
          "expected an object on the stack, found none"),
      Bad("AppendToATuple", ")K\1a", "expected a list to add items to"),
      Bad("SetInAList", "]K\1K\2s", "expected a dict to add items to"),
      Bad("KeyWithoutValue", "}(K\1u", "expected a value for each key"),
      Bad("DictOfThree", "(K\1K\2K\3d", "expected a value for each key"),
      Bad("NotInTheMemo", "h\1", "object 1 is not in the memo"),
      Bad("MemoizeOnEmptyStack", "q\1",
          "expected an object on the stack, found none"),
      Bad("TruncatedString", Raw("X\xff\x00\x00\x00 text"), "truncated"),
      Bad("NegativeStringLength", Raw("T\xff\xff\xff\xff"), "truncated"),
      Bad("HugeStringLength", Raw("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
          "truncated"),
  };
}

class BadPickleTest : public ::testing::TestWithParam<BadPickle> {};

TEST_P(BadPickleTest, IsRejectedWithPositionAndReason) {
  const auto pickle = ReadBytes(GetParam().bytes);
  EXPECT_EQ(pickle.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(pickle.status().message()),
              ::testing::StartsWith("m.pth: data.pkl: pickle: byte "));
  EXPECT_THAT(std::string(pickle.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(All, BadPickleTest, ::testing::ValuesIn(BadPickles()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

}  // namespace
}  // namespace rwkvd
