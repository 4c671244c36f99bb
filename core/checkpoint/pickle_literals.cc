// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/pickle_literals.h"

#include <algorithm>
#include <iterator>

namespace rwkvd {
namespace {

using Kind = PickleObject::Kind;
using Op = PickleOpcode;

struct Literal {
  Op opcode;
  Kind kind;
  size_t width;  // bytes of the number that follows, a value or a length
};

constexpr Literal kLiterals[] = {
    {Op::kNone, Kind::kNone, 0},
    {Op::kNewTrue, Kind::kBool, 0},
    {Op::kNewFalse, Kind::kBool, 0},
    {Op::kBinInt, Kind::kInt, 4},
    {Op::kBinInt1, Kind::kInt, 1},
    {Op::kBinInt2, Kind::kInt, 2},
    {Op::kLong1, Kind::kBigInt, 1},
    {Op::kLong4, Kind::kBigInt, 4},
    {Op::kBinFloat, Kind::kFloat, 8},
    {Op::kBinString, Kind::kString, 4},
    {Op::kShortBinString, Kind::kString, 1},
    {Op::kBinUnicode, Kind::kString, 4},
    {Op::kShortBinUnicode, Kind::kString, 1},
    {Op::kBinUnicode8, Kind::kString, 8},
    {Op::kBinBytes, Kind::kBytes, 4},
    {Op::kShortBinBytes, Kind::kBytes, 1},
    {Op::kBinBytes8, Kind::kBytes, 8},
};

const Literal* Find(Op opcode) {
  const auto found = std::find_if(
      std::begin(kLiterals), std::end(kLiterals),
      [opcode](const Literal& literal) { return literal.opcode == opcode; });
  return found == std::end(kLiterals) ? nullptr : found;
}

// The value of a little-endian two's complement number of at most 8 bytes.
int64_t ToInteger(absl::string_view bytes) {
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  uint64_t value = negative ? ~uint64_t{0} : 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return static_cast<int64_t>(value);
}

}  // namespace

bool IsLiteral(PickleOpcode opcode) { return Find(opcode) != nullptr; }

bool ReadLiteral(PickleOpcode opcode, ByteReader& reader,
                 PickleObject& object) {
  const Literal& literal = *Find(opcode);
  uint64_t number;
  if (!reader.ReadNumber(literal.width, &number)) return false;
  object.kind = literal.kind;
  switch (literal.kind) {
    case Kind::kBool:
      object.integer = opcode == Op::kNewTrue;
      return true;
    case Kind::kInt:  // only the four-byte integer is signed
      object.integer = literal.width == 4
                           ? int64_t{static_cast<int32_t>(number)}
                           : static_cast<int64_t>(number);
      return true;
    case Kind::kBigInt:
      if (!reader.ReadText(number, &object.text)) return false;
      if (object.text.size() <= sizeof(int64_t)) {
        object.kind = Kind::kInt;
        object.integer = ToInteger(object.text);
      }
      return true;
    case Kind::kString:
    case Kind::kBytes:
      return reader.ReadText(number, &object.text);
    default:
      return true;
  }
}

}  // namespace rwkvd
