// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unpickler.h"

#include <algorithm>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/file_error.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/pickle_globals.h"
#include "core/checkpoint/pickle_literals.h"
#include "core/checkpoint/pickle_opcodes.h"

namespace rwkvd {

using Items = std::vector<const PickleObject*>;
using Kind = PickleObject::Kind;
using Op = PickleOpcode;

namespace {

// Each costs at most some hundred bytes of memory. A tensor takes about 45.
constexpr size_t kMaxOpcodes = 1'000'000;
constexpr uint8_t kMinProtocol = 2;
constexpr uint8_t kMaxProtocol = 5;
constexpr size_t kMaxGlobalBytes = 256;  // of a module's or a name's line
constexpr size_t kToMark = std::numeric_limits<size_t>::max();

}  // namespace

// Runs one pickle. Lives for that long.
class PickleMachine {
 public:
  PickleMachine(absl::Span<const std::byte> bytes, absl::string_view where)
      : bytes_(bytes), reader_(bytes), where_(where) {}

  absl::StatusOr<Pickle> Run() &&;

 private:
  absl::Status ReadProtocol();
  // Takes `cost` from the budget: one for each opcode, and one for each item
  // copied from an object that may be copied again and again.
  absl::Status Charge(size_t cost);
  // One opcode, whose argument, if it has any, comes next.
  absl::Status Step(Op opcode);

  absl::Status PushLiteral(Op opcode);
  // Makes a container of the last `num` objects, or of those down to the mark.
  absl::Status PushContainer(Kind kind, size_t num);
  // Adds them to the container that lies below them.
  absl::Status Extend(Kind kind, size_t num);
  // Stores an object in the memo, or pushes it from there. Its number takes
  // `width` bytes; without any it is the next.
  absl::Status Remember(size_t width);
  absl::Status Recall(size_t width);
  absl::Status ReadGlobal();
  absl::Status PopGlobal();
  absl::Status PushGlobal(absl::string_view module, absl::string_view name);
  absl::Status PushStorage();
  absl::Status Call();
  absl::Status Build();
  absl::Status SkipFrame();

  PickleObject* Push(Kind kind);
  absl::StatusOr<PickleObject*> Pop();
  // Moves the last `num` objects off the stack, in the order pushed; kToMark:
  // those above the last mark, which goes too.
  absl::StatusOr<Items> PopItems(size_t num);
  // How many objects lie above the last mark.
  size_t Available() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  template <typename... Args>
  absl::Status Error(const Args&... args) const {
    return absl::InvalidArgumentError(
        absl::StrCat(where_, ": pickle: byte ", opcode_at_, ": ", args...));
  }
  absl::Status CutOff() const { return Error("cut off"); }
  absl::Status NothingLeft() const { return Error("nothing on the stack"); }

  const absl::Span<const std::byte> bytes_;
  ByteReader reader_;
  const absl::string_view where_;
  size_t opcode_at_ = 0;
  size_t budget_ = kMaxOpcodes;
  Pickle pickle_;
  std::vector<PickleObject*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  absl::flat_hash_map<uint64_t, PickleObject*> memo_;
};

absl::StatusOr<Pickle> PickleMachine::Run() && {
  RWKVD_RETURN_IF_ERROR(ReadProtocol());
  while (true) {
    opcode_at_ = reader_.position();
    uint8_t opcode;
    if (!reader_.Read(&opcode)) return CutOff();
    if (Op{opcode} == Op::kStop) break;
    RWKVD_RETURN_IF_ERROR(Charge(1));
    RWKVD_RETURN_IF_ERROR(Step(Op{opcode}));
  }
  if (stack_.size() != 1 || !marks_.empty()) {
    return Error("expected one object at the end, got ", stack_.size(), " and ",
                 marks_.size(), " marks");
  }
  pickle_.root_ = stack_[0];
  pickle_.num_bytes_ = reader_.position();
  return std::move(pickle_);
}

absl::Status PickleMachine::ReadProtocol() {
  uint8_t opcode, protocol;
  if (!reader_.Read(&opcode, &protocol)) return CutOff();
  if (Op{opcode} != Op::kProto) {
    return Error("expected a pickle of protocol 2 to 5");
  }
  if (protocol < kMinProtocol || protocol > kMaxProtocol) {
    return Error("expected protocol 2 to 5, got ", protocol);
  }
  return absl::OkStatus();
}

absl::Status PickleMachine::Charge(size_t cost) {
  if (cost > budget_) {
    return Error("over ", kMaxOpcodes,
                 " opcodes, more than any checkpoint needs");
  }
  budget_ -= cost;
  return absl::OkStatus();
}

absl::Status PickleMachine::Step(Op opcode) {
  switch (opcode) {
    case Op::kMark:
      marks_.push_back(stack_.size());
      return absl::OkStatus();
    case Op::kPop:
      return Pop().status();
    case Op::kPopMark:
      return PopItems(kToMark).status();
    case Op::kEmptyTuple:
      return PushContainer(Kind::kTuple, 0);
    case Op::kTuple1:
      return PushContainer(Kind::kTuple, 1);
    case Op::kTuple2:
      return PushContainer(Kind::kTuple, 2);
    case Op::kTuple3:
      return PushContainer(Kind::kTuple, 3);
    case Op::kTuple:
      return PushContainer(Kind::kTuple, kToMark);
    case Op::kEmptyList:
      return PushContainer(Kind::kList, 0);
    case Op::kList:
      return PushContainer(Kind::kList, kToMark);
    case Op::kEmptyDict:
      return PushContainer(Kind::kDict, 0);
    case Op::kDict:
      return PushContainer(Kind::kDict, kToMark);
    case Op::kAppend:
      return Extend(Kind::kList, 1);
    case Op::kAppends:
      return Extend(Kind::kList, kToMark);
    case Op::kSetItem:
      return Extend(Kind::kDict, 2);
    case Op::kSetItems:
      return Extend(Kind::kDict, kToMark);
    case Op::kMemoize:
      return Remember(0);
    case Op::kBinPut:
      return Remember(1);
    case Op::kLongBinPut:
      return Remember(4);
    case Op::kBinGet:
      return Recall(1);
    case Op::kLongBinGet:
      return Recall(4);
    case Op::kGlobal:
      return ReadGlobal();
    case Op::kStackGlobal:
      return PopGlobal();
    case Op::kBinPersid:
      return PushStorage();
    case Op::kReduce:
      return Call();
    case Op::kBuild:
      return Build();
    case Op::kFrame:
      return SkipFrame();
    default:
      return PushLiteral(opcode);
  }
}

PickleObject* PickleMachine::Push(Kind kind) {
  stack_.push_back(&pickle_.objects_.emplace_back());
  stack_.back()->kind = kind;
  return stack_.back();
}

absl::StatusOr<PickleObject*> PickleMachine::Pop() {
  if (Available() == 0) return NothingLeft();
  PickleObject* object = stack_.back();
  stack_.pop_back();
  return object;
}

absl::StatusOr<Items> PickleMachine::PopItems(size_t num) {
  if (num == kToMark) {
    if (marks_.empty()) return Error("no mark on the stack");
    num = Available();
    marks_.pop_back();
  } else if (num > Available()) {
    return NothingLeft();
  }
  const auto begin = stack_.end() - static_cast<ptrdiff_t>(num);
  Items items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  return items;
}

absl::Status PickleMachine::PushLiteral(Op opcode) {
  if (!IsLiteral(opcode)) {
    return Error(absl::StrFormat("refused opcode 0x%02x, which no tensor needs",
                                 static_cast<int>(opcode)));
  }
  const bool whole = ReadLiteral(opcode, reader_, *Push(Kind::kNone));
  return whole ? absl::OkStatus() : CutOff();
}

absl::Status PickleMachine::PushContainer(Kind kind, size_t num) {
  RWKVD_ASSIGN_OR_RETURN(Items items, PopItems(num));
  if (kind == Kind::kDict && items.size() % 2 != 0) {
    return Error("a key without a value");
  }
  Push(kind)->items = std::move(items);
  return absl::OkStatus();
}

absl::Status PickleMachine::Extend(Kind kind, size_t num) {
  RWKVD_ASSIGN_OR_RETURN(const Items items, PopItems(num));
  if (kind == Kind::kDict && items.size() % 2 != 0) {
    return Error("a key without a value");
  }
  if (Available() == 0) return NothingLeft();
  PickleObject& container = *stack_.back();
  if (container.kind != kind) {
    return Error("expected a ", kind == Kind::kDict ? "dict" : "list",
                 " to add items to");
  }
  container.items.insert(container.items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status PickleMachine::Remember(size_t width) {
  uint64_t number;
  if (!reader_.ReadNumber(width, &number)) return CutOff();
  if (width == 0) number = memo_.size();
  if (Available() == 0) return NothingLeft();
  memo_[number] = stack_.back();
  return absl::OkStatus();
}

absl::Status PickleMachine::Recall(size_t width) {
  uint64_t number;
  if (!reader_.ReadNumber(width, &number)) return CutOff();
  const auto found = memo_.find(number);
  if (found == memo_.end()) {
    return Error("refers to object ", number, ", which was never stored");
  }
  stack_.push_back(found->second);
  return absl::OkStatus();
}

// Module and name are the next two lines.
absl::Status PickleMachine::ReadGlobal() {
  absl::string_view lines[2];
  for (absl::string_view& line : lines) {
    const auto rest = bytes_.subspan(
        reader_.position(), std::min(reader_.remaining(), kMaxGlobalBytes));
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) {
      return Error("a global whose name does not end within ", rest.size(),
                   " bytes");
    }
    reader_.ReadText(end - rest.begin() + 1, &line);
    line.remove_suffix(1);
  }
  return PushGlobal(lines[0], lines[1]);
}

// Module and name lie on the stack.
absl::Status PickleMachine::PopGlobal() {
  RWKVD_ASSIGN_OR_RETURN(const Items both, PopItems(2));
  if (both[0]->kind != Kind::kString || both[1]->kind != Kind::kString) {
    return Error("a global whose name is no string");
  }
  return PushGlobal(both[0]->text, both[1]->text);
}

absl::Status PickleMachine::PushGlobal(absl::string_view module,
                                       absl::string_view name) {
  const absl::string_view known = FindGlobal(module, name);
  if (known.empty()) {
    return Error("refused global ", Quoted(absl::StrCat(module, ".", name)),
                 ": no tensor needs it, and nothing from a file is run; if "
                 "you trust the file, load it in Python and save its "
                 "state_dict alone");
  }
  Push(Kind::kGlobal)->text = known;
  return absl::OkStatus();
}

// A persistent id names a storage: ('storage', type, key, ...).
absl::Status PickleMachine::PushStorage() {
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const id, Pop());
  if (id->kind != Kind::kTuple || id->items.empty() ||
      id->items[0]->kind != Kind::kString || id->items[0]->text != "storage") {
    return Error("a persistent id that does not name a storage");
  }
  Push(Kind::kStorage)->arguments = id;
  return absl::OkStatus();
}

absl::Status PickleMachine::Call() {
  RWKVD_ASSIGN_OR_RETURN(const Items both, PopItems(2));
  const PickleObject& function = *both[0];
  const PickleObject& arguments = *both[1];
  if (function.kind != Kind::kGlobal || arguments.kind != Kind::kTuple) {
    return Error("a call of something that cannot be called");
  }
  PickleObject* const result = Push(Kind::kNone);
  if (!CallGlobal(function.text, arguments, *result)) {
    return Error("refused call of ", function.text,
                 ", which no tensor needs like that");
  }
  return Charge(result->items.size());
}

// Sets attributes, such as the version numbers that modules leave in a dict.
// Nothing here has any.
absl::Status PickleMachine::Build() {
  RWKVD_RETURN_IF_ERROR(Pop().status());
  if (Available() == 0) return NothingLeft();
  if (stack_.back()->kind != Kind::kDict) {
    return Error("expected a dict to set attributes of");
  }
  return absl::OkStatus();
}

// Its length is a hint for those who read from a stream.
absl::Status PickleMachine::SkipFrame() {
  uint64_t size;
  if (!reader_.Read(&size) || size > reader_.remaining()) return CutOff();
  return absl::OkStatus();
}

absl::StatusOr<Pickle> ReadPickle(absl::Span<const std::byte> bytes,
                                  absl::string_view where) {
  return PickleMachine(bytes, where).Run();
}

}  // namespace rwkvd
