// SPDX-License-Identifier: Apache-2.0
#include "service/convert/message_check.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/field_error.h"
#include "core/base/utf8.h"
#include "google/protobuf/message.h"
#include "service/convert/wire_reader.h"

namespace rwkvd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MessageFactory;
using enum WireType;

// Upper bounds of what protobuf allocates, in addition to the content: the
// allocator's own bytes, and arrays that double when they grow, of which the
// old and the new one exist together.
constexpr int64_t kMessageOverhead = 64;
constexpr int64_t kStringOverhead = 112;
constexpr int64_t kUnknownFieldOverhead = 160;
constexpr int64_t kArrayOverhead = 64;
constexpr int64_t kArrayGrowth = 3;  // times the size of the elements

// Groups in unknown fields may be nested this deeply; protobuf's own limit is
// 100.
constexpr int kMaxGroupDepth = 32;

// The bytes of one element of a repeated field of numbers.
int64_t ElementBytes(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return 1;
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return 8;
    default:
      return 4;
  }
}

WireType WireTypeOf(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_DOUBLE:
    case FieldDescriptor::TYPE_FIXED64:
    case FieldDescriptor::TYPE_SFIXED64:
      return kFixed64;
    case FieldDescriptor::TYPE_FLOAT:
    case FieldDescriptor::TYPE_FIXED32:
    case FieldDescriptor::TYPE_SFIXED32:
      return kFixed32;
    case FieldDescriptor::TYPE_STRING:
    case FieldDescriptor::TYPE_BYTES:
    case FieldDescriptor::TYPE_MESSAGE:
      return kLengthDelimited;
    case FieldDescriptor::TYPE_GROUP:
      return kStartGroup;
    default:
      return kVarint;
  }
}

// The problem with a field, and the path from the message to the field, which
// grows from its end while the error is returned.
struct Problem {
  std::string path;
  std::string what;
  bool not_utf8 = false;
};

// One pass over a message.
//
// Lives for one call of CheckMessage; thread-compatible.
class Checker {
 public:
  explicit Checker(int64_t max_memory) : max_memory_(max_memory) {}

  int64_t memory() const { return memory_; }

  // Checks the fields of a message, whose own memory has been counted.
  std::optional<Problem> CheckFields(const Descriptor& type,
                                     absl::string_view bytes) {
    WireReader reader(bytes);
    // How often each repeated field has appeared, for paths.
    absl::InlinedVector<int32_t, 32> counts(type.field_count());
    while (!reader.empty() && memory_ <= max_memory_) {
      const std::optional<uint64_t> tag = reader.Varint();
      if (!tag.has_value() || *tag >> 3 == 0 || *tag >> 32 != 0) {
        return Problem{"", "expected the tag of a field"};
      }
      const FieldDescriptor* const field =
          type.FindFieldByNumber(static_cast<int>(*tag >> 3));
      const auto wire_type = static_cast<WireType>(*tag & 7);
      const bool is_first = field == nullptr || counts[field->index()] == 0;
      std::optional<Problem> problem =
          CheckField(field, wire_type, is_first, &reader);
      if (problem.has_value()) {
        return WithField(*std::move(problem), field, *tag >> 3, counts);
      }
      if (field != nullptr && field->is_repeated()) ++counts[field->index()];
    }
    return std::nullopt;
  }

  // Counts the memory of a message without its fields.
  void CountMessage(const Descriptor& type) {
    int64_t& size = sizes_[&type];
    if (size == 0) {
      size = static_cast<int64_t>(MessageFactory::generated_factory()
                                      ->GetPrototype(&type)
                                      ->SpaceUsedLong());
    }
    memory_ += size + kMessageOverhead;
  }

 private:
  // `is_first`: the message has had no element of this repeated field before.
  std::optional<Problem> CheckField(const FieldDescriptor* field,
                                    WireType wire_type, bool is_first,
                                    WireReader* reader) {
    if (field == nullptr) return SkipUnknown(wire_type, reader, 0);
    if (wire_type != kLengthDelimited) {
      if (wire_type != WireTypeOf(*field)) {
        return SkipUnknown(wire_type, reader, 0);
      }
      if (field->is_repeated()) {
        memory_ += (is_first ? kArrayOverhead : 0) +
                   kArrayGrowth * ElementBytes(*field);
      }
      return SkipNumber(wire_type, reader);
    }
    const std::optional<absl::string_view> content = reader->Delimited();
    if (!content.has_value()) return Problem{"", "the message ends within it"};
    switch (field->type()) {
      case FieldDescriptor::TYPE_MESSAGE:
        CountMessage(*field->message_type());
        return CheckFields(*field->message_type(), *content);
      case FieldDescriptor::TYPE_STRING:
        memory_ += static_cast<int64_t>(content->size()) + kStringOverhead;
        return CheckText(*content);
      case FieldDescriptor::TYPE_BYTES:
        memory_ += static_cast<int64_t>(content->size()) + kStringOverhead;
        return std::nullopt;
      default:
        CountPacked(*field, *content);
        return std::nullopt;
    }
  }

  // A packed list, or, if the field is not repeated, an unknown field.
  void CountPacked(const FieldDescriptor& field, absl::string_view content) {
    int64_t bytes = static_cast<int64_t>(content.size());
    if (field.is_repeated() && WireTypeOf(field) == kVarint) {
      // The last byte of a varint is less than 0x80.
      bytes = ElementBytes(field) *
              std::count_if(content.begin(), content.end(), [](char c) {
                return static_cast<uint8_t>(c) < 0x80;
              });
    }
    memory_ += kUnknownFieldOverhead + kArrayGrowth * bytes;
  }

  static std::optional<Problem> CheckText(absl::string_view text) {
    const size_t valid = ValidUtf8Length(text);
    if (valid == text.size()) return std::nullopt;
    return Problem{"", absl::StrCat("byte ", valid, " is not valid UTF-8"),
                   true};
  }

  static std::optional<Problem> SkipNumber(WireType wire_type,
                                           WireReader* reader) {
    const bool ok = wire_type == kVarint    ? reader->Varint().has_value()
                    : wire_type == kFixed64 ? reader->Skip(8)
                                            : reader->Skip(4);
    if (ok) return std::nullopt;
    return Problem{"", "the message ends within it"};
  }

  std::optional<Problem> SkipUnknown(WireType wire_type, WireReader* reader,
                                     int depth) {
    memory_ += kUnknownFieldOverhead;
    switch (wire_type) {
      case kVarint:
      case kFixed64:
      case kFixed32:
        return SkipNumber(wire_type, reader);
      case kLengthDelimited: {
        const std::optional<absl::string_view> content = reader->Delimited();
        if (!content.has_value()) {
          return Problem{"", "the message ends within it"};
        }
        memory_ += static_cast<int64_t>(content->size());
        return std::nullopt;
      }
      case kStartGroup:
        return SkipGroup(reader, depth + 1);
      default:
        return Problem{
            "", absl::StrCat("its wire type ", static_cast<int>(wire_type),
                             " is not expected here")};
    }
  }

  std::optional<Problem> SkipGroup(WireReader* reader, int depth) {
    if (depth > kMaxGroupDepth) return Problem{"", "groups are nested deeply"};
    while (memory_ <= max_memory_) {
      const std::optional<uint64_t> tag = reader->Varint();
      if (!tag.has_value()) return Problem{"", "the message ends within it"};
      const auto wire_type = static_cast<WireType>(*tag & 7);
      if (wire_type == kEndGroup) return std::nullopt;
      std::optional<Problem> problem = SkipUnknown(wire_type, reader, depth);
      if (problem.has_value()) return problem;
    }
    return std::nullopt;
  }

  // Adds the field to the front of the problem's path.
  static Problem WithField(Problem problem, const FieldDescriptor* field,
                           uint64_t number,
                           const absl::InlinedVector<int32_t, 32>& counts) {
    std::string name =
        field != nullptr ? field->name() : absl::StrCat("field ", number);
    if (field != nullptr && field->is_repeated()) {
      absl::StrAppend(&name, "[", counts[field->index()], "]");
    }
    problem.path = problem.path.empty() ? std::move(name)
                                        : absl::StrCat(name, ".", problem.path);
    return problem;
  }

  const int64_t max_memory_;
  int64_t memory_ = 0;
  // By type, without their fields, in bytes.
  absl::flat_hash_map<const Descriptor*, int64_t> sizes_;
};

}  // namespace

MessageCheck CheckMessage(const Descriptor& type, absl::string_view bytes,
                          int64_t max_memory) {
  Checker checker(max_memory);
  checker.CountMessage(type);
  const std::optional<Problem> problem = checker.CheckFields(type, bytes);
  MessageCheck check;
  check.memory = checker.memory();
  if (!problem.has_value()) return check;
  check.not_utf8 = problem->not_utf8;
  const ErrorReason reason = problem->not_utf8 ? ErrorReason::kFieldNotUtf8
                                               : ErrorReason::kMessageMalformed;
  check.status = problem->path.empty()
                     ? MakeError(reason, absl::StrCat("the message is not a ",
                                                      type.full_name(), ": ",
                                                      problem->what))
                     : FieldError(reason, problem->path, problem->what);
  return check;
}

}  // namespace rwkvd
