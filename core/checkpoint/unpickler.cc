// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/unpickler.h"

#include <algorithm>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/checkpoint/byte_reader.h"
#include "core/checkpoint/pickle_literals.h"
#include "core/checkpoint/pickle_opcodes.h"

namespace rwkvd {

using Kind = PickleObject::Kind;
using Op = PickleOpcode;

namespace {

// Each costs at most some hundred bytes of memory. A tensor takes about 45.
constexpr size_t kMaxOpcodes = 2'000'000;
constexpr uint8_t kMinProtocol = 2;
constexpr uint8_t kMaxProtocol = 5;
constexpr size_t kMaxGlobalBytes = 256;  // of a module's or a name's line

// The globals that may be named. Nothing of them is ever run: what a call of
// them would build is built here.
constexpr absl::string_view kOrderedDict = "collections.OrderedDict";
constexpr absl::string_view kRebuildTensor = "torch._utils._rebuild_tensor";
constexpr absl::string_view kRebuildTensor2 = "torch._utils._rebuild_tensor_v2";
constexpr absl::string_view kRebuildParameter =
    "torch._utils._rebuild_parameter";
constexpr absl::string_view kSize = "torch.Size";
constexpr absl::string_view kGlobals[] = {
    kOrderedDict,
    kRebuildTensor,
    kRebuildTensor2,
    kRebuildParameter,
    kSize,
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.ShortStorage",
};

std::string Quoted(absl::string_view text) {
  return absl::Utf8SafeCEscape(text.substr(0, 200));
}

}  // namespace

// Runs one pickle. Lives for that long.
class PickleMachine {
 public:
  PickleMachine(absl::Span<const std::byte> bytes, absl::string_view where)
      : bytes_(bytes), reader_(bytes), where_(where) {}

  absl::StatusOr<Pickle> Run() &&;

 private:
  // One opcode whose argument, if it has any, comes next.
  absl::Status Step(Op opcode);
  absl::Status PushLiteral(Op opcode);
  absl::Status PushContainer(Op opcode);
  absl::Status Remember(Op opcode);
  absl::Status Recall(Op opcode);
  absl::Status PushGlobal(Op opcode);
  absl::Status AddGlobal(absl::string_view module, absl::string_view name);
  absl::Status Extend(Op opcode);
  absl::Status PushStorage();
  absl::Status Call();
  absl::Status CallOrderedDict(const PickleObject& arguments);
  absl::Status Build();

  // Takes from the budget: one for each opcode, and one for each item copied
  // from an object that may be copied again and again.
  absl::Status Charge(size_t cost);

  PickleObject* Push(Kind kind) {
    stack_.push_back(&pickle_.objects_.emplace_back());
    stack_.back()->kind = kind;
    return stack_.back();
  }
  // How many objects lie above the last mark.
  size_t Available() const {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }
  // Moves the last `num` objects off the stack, in the order pushed. There are
  // that many.
  std::vector<const PickleObject*> PopItems(size_t num);
  // The same down to the last mark, which goes too.
  absl::StatusOr<std::vector<const PickleObject*>> PopToMark();
  absl::StatusOr<PickleObject*> Pop();

  template <typename... Args>
  absl::Status Complain(const Args&... args) const {
    return absl::InvalidArgumentError(
        absl::StrCat(where_, ": pickle: byte ", opcode_at_, ": ", args...));
  }
  absl::Status CutOff() const { return Complain("cut off"); }

  const absl::Span<const std::byte> bytes_;
  ByteReader reader_;
  const absl::string_view where_;
  size_t opcode_at_ = 0;
  size_t budget_ = kMaxOpcodes;
  Pickle pickle_;
  std::vector<PickleObject*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  absl::flat_hash_map<uint32_t, PickleObject*> memo_;
};

std::vector<const PickleObject*> PickleMachine::PopItems(size_t num) {
  const auto begin = stack_.end() - static_cast<ptrdiff_t>(num);
  std::vector<const PickleObject*> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  return items;
}

absl::StatusOr<std::vector<const PickleObject*>> PickleMachine::PopToMark() {
  if (marks_.empty()) return Complain("no mark on the stack");
  auto items = PopItems(Available());
  marks_.pop_back();
  return items;
}

absl::StatusOr<PickleObject*> PickleMachine::Pop() {
  if (Available() == 0) return Complain("nothing on the stack");
  PickleObject* object = stack_.back();
  stack_.pop_back();
  return object;
}

absl::Status PickleMachine::Charge(size_t cost) {
  if (cost > budget_) {
    return Complain("over ", kMaxOpcodes,
                    " opcodes, more than any checkpoint needs");
  }
  budget_ -= cost;
  return absl::OkStatus();
}

absl::StatusOr<Pickle> PickleMachine::Run() && {
  uint8_t byte, protocol;
  if (!reader_.Read(&byte, &protocol)) return CutOff();
  if (Op{byte} != Op::kProto)
    return Complain("expected a pickle of protocol 2 to 5");
  if (protocol < kMinProtocol || protocol > kMaxProtocol) {
    return Complain("expected protocol 2 to 5, got ", protocol);
  }
  while (true) {
    opcode_at_ = reader_.position();
    if (!reader_.Read(&byte)) return CutOff();
    if (Op{byte} == Op::kStop) break;
    RWKVD_RETURN_IF_ERROR(Charge(1));
    RWKVD_RETURN_IF_ERROR(Step(Op{byte}));
  }
  if (stack_.size() != 1 || !marks_.empty()) {
    return Complain("expected one object at the end, got ", stack_.size());
  }
  pickle_.root_ = stack_[0];
  pickle_.num_bytes_ = reader_.position();
  return std::move(pickle_);
}

absl::Status PickleMachine::Step(Op opcode) {
  switch (opcode) {
    case Op::kMark:
      marks_.push_back(stack_.size());
      return absl::OkStatus();
    case Op::kPop:
      return Pop().status();
    case Op::kPopMark:
      return PopToMark().status();
    case Op::kEmptyTuple:
    case Op::kEmptyList:
    case Op::kEmptyDict:
    case Op::kTuple1:
    case Op::kTuple2:
    case Op::kTuple3:
    case Op::kTuple:
    case Op::kList:
    case Op::kDict:
      return PushContainer(opcode);
    case Op::kAppend:
    case Op::kAppends:
    case Op::kSetItem:
    case Op::kSetItems:
      return Extend(opcode);
    case Op::kBinPut:
    case Op::kLongBinPut:
    case Op::kMemoize:
      return Remember(opcode);
    case Op::kBinGet:
    case Op::kLongBinGet:
      return Recall(opcode);
    case Op::kGlobal:
    case Op::kStackGlobal:
      return PushGlobal(opcode);
    case Op::kBinPersid:
      return PushStorage();
    case Op::kReduce:
      return Call();
    case Op::kBuild:
      return Build();
    case Op::kFrame: {
      uint64_t size;  // a hint for those who read from a stream
      if (!reader_.Read(&size) || size > reader_.remaining()) return CutOff();
      return absl::OkStatus();
    }
    default:
      return PushLiteral(opcode);
  }
}

absl::Status PickleMachine::PushLiteral(Op opcode) {
  if (!IsLiteral(opcode)) {
    return Complain(
        absl::StrFormat("refused opcode 0x%02x, which no tensor needs",
                        static_cast<int>(opcode)));
  }
  return ReadLiteral(opcode, reader_, *Push(Kind::kNone)) ? absl::OkStatus()
                                                          : CutOff();
}

absl::Status PickleMachine::PushContainer(Op opcode) {
  std::vector<const PickleObject*> items;
  if (opcode == Op::kTuple || opcode == Op::kList || opcode == Op::kDict) {
    RWKVD_ASSIGN_OR_RETURN(items, PopToMark());
  } else if (opcode >= Op::kTuple1 && opcode <= Op::kTuple3) {
    const size_t num =
        static_cast<size_t>(opcode) - static_cast<size_t>(Op::kTuple1) + 1;
    if (Available() < num) return Complain("nothing on the stack");
    items = PopItems(num);
  }
  Kind kind = Kind::kTuple;
  if (opcode == Op::kEmptyList || opcode == Op::kList) kind = Kind::kList;
  if (opcode == Op::kEmptyDict || opcode == Op::kDict) kind = Kind::kDict;
  if (kind == Kind::kDict && items.size() % 2 != 0) {
    return Complain("a key without a value");
  }
  Push(kind)->items = std::move(items);
  return absl::OkStatus();
}

// APPEND and SETITEM take one item, APPENDS and SETITEMS all above a mark.
absl::Status PickleMachine::Extend(Op opcode) {
  const bool is_dict = opcode == Op::kSetItem || opcode == Op::kSetItems;
  std::vector<const PickleObject*> items;
  if (opcode == Op::kAppends || opcode == Op::kSetItems) {
    RWKVD_ASSIGN_OR_RETURN(items, PopToMark());
  } else {
    const size_t num = is_dict ? 2 : 1;
    if (Available() < num) return Complain("nothing on the stack");
    items = PopItems(num);
  }
  if (is_dict && items.size() % 2 != 0)
    return Complain("a key without a value");
  if (Available() == 0) return Complain("nothing on the stack");
  PickleObject& target = *stack_.back();
  if (target.kind != (is_dict ? Kind::kDict : Kind::kList)) {
    return Complain("expected a ", is_dict ? "dict" : "list",
                    " to add items to");
  }
  target.items.insert(target.items.end(), items.begin(), items.end());
  return absl::OkStatus();
}

absl::Status PickleMachine::Remember(Op opcode) {
  uint32_t index = static_cast<uint32_t>(memo_.size());
  uint8_t byte = 0;
  if (opcode == Op::kBinPut) {
    if (!reader_.Read(&byte)) return CutOff();
    index = byte;
  } else if (opcode == Op::kLongBinPut && !reader_.Read(&index)) {
    return CutOff();
  }
  if (Available() == 0) return Complain("nothing on the stack");
  memo_[index] = stack_.back();
  return absl::OkStatus();
}

absl::Status PickleMachine::Recall(Op opcode) {
  uint32_t index = 0;
  uint8_t byte = 0;
  const bool whole =
      opcode == Op::kBinGet ? reader_.Read(&byte) : reader_.Read(&index);
  if (!whole) return CutOff();
  if (opcode == Op::kBinGet) index = byte;
  const auto found = memo_.find(index);
  if (found == memo_.end()) {
    return Complain("refers to object ", index, ", which was never stored");
  }
  stack_.push_back(found->second);
  return absl::OkStatus();
}

absl::Status PickleMachine::PushGlobal(Op opcode) {
  if (opcode == Op::kStackGlobal) {
    RWKVD_ASSIGN_OR_RETURN(const PickleObject* const name, Pop());
    RWKVD_ASSIGN_OR_RETURN(const PickleObject* const module, Pop());
    if (name->kind != Kind::kString || module->kind != Kind::kString) {
      return Complain("a global whose name is no string");
    }
    return AddGlobal(module->text, name->text);
  }
  absl::string_view lines[2];
  for (absl::string_view& line : lines) {
    const auto rest = bytes_.subspan(
        reader_.position(), std::min(reader_.remaining(), kMaxGlobalBytes));
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) {
      return Complain("a global whose name does not end within ", rest.size(),
                      " bytes");
    }
    reader_.ReadText(end - rest.begin() + 1, &line);
    line.remove_suffix(1);
  }
  return AddGlobal(lines[0], lines[1]);
}

absl::Status PickleMachine::AddGlobal(absl::string_view module,
                                      absl::string_view name) {
  for (absl::string_view known : kGlobals) {
    if (known.size() == module.size() + 1 + name.size() &&
        known.substr(0, module.size()) == module &&
        known[module.size()] == '.' &&
        known.substr(module.size() + 1) == name) {
      Push(Kind::kGlobal)->text = known;
      return absl::OkStatus();
    }
  }
  return Complain("refused global ", Quoted(module), ".", Quoted(name),
                  ": no tensor needs it, and nothing from a file is run; if "
                  "you trust the file, load it in Python and save its "
                  "state_dict alone");
}

// A persistent id names a storage: ('storage', type, key, ...).
absl::Status PickleMachine::PushStorage() {
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const id, Pop());
  if (id->kind != Kind::kTuple || id->items.empty() ||
      id->items[0]->kind != Kind::kString || id->items[0]->text != "storage") {
    return Complain("a persistent id that does not name a storage");
  }
  Push(Kind::kStorage)->arguments = id;
  return absl::OkStatus();
}

absl::Status PickleMachine::Call() {
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const arguments, Pop());
  RWKVD_ASSIGN_OR_RETURN(const PickleObject* const function, Pop());
  if (function->kind != Kind::kGlobal || arguments->kind != Kind::kTuple) {
    return Complain("a call of something that cannot be called");
  }
  const absl::string_view name = function->text;
  if (name == kOrderedDict) return CallOrderedDict(*arguments);
  if (name == kRebuildTensor || name == kRebuildTensor2) {
    Push(Kind::kTensor)->arguments = arguments;
    return absl::OkStatus();
  }
  if (name == kRebuildParameter && !arguments->items.empty() &&
      arguments->items[0]->kind == Kind::kTensor) {
    Push(Kind::kTensor)->arguments = arguments->items[0]->arguments;
    return absl::OkStatus();
  }
  if (name == kSize && arguments->items.size() == 1 &&
      arguments->items[0]->kind == Kind::kTuple) {
    const auto& dimensions = arguments->items[0]->items;
    RWKVD_RETURN_IF_ERROR(Charge(dimensions.size()));
    Push(Kind::kTuple)->items = dimensions;
    return absl::OkStatus();
  }
  return Complain("refused call of ", name);
}

// Python 3 calls it without arguments and sets the items afterwards; Python 2
// passes a list of pairs.
absl::Status PickleMachine::CallOrderedDict(const PickleObject& arguments) {
  std::vector<const PickleObject*> items;
  if (!arguments.items.empty()) {
    const PickleObject& pairs = *arguments.items[0];
    RWKVD_RETURN_IF_ERROR(Charge(pairs.items.size()));
    for (const PickleObject* pair : pairs.items) {
      if (pairs.kind != Kind::kList || pair->items.size() != 2 ||
          (pair->kind != Kind::kTuple && pair->kind != Kind::kList)) {
        return Complain("an OrderedDict made of something else than pairs");
      }
      items.insert(items.end(), pair->items.begin(), pair->items.end());
    }
  }
  Push(Kind::kDict)->items = std::move(items);
  return absl::OkStatus();
}

// Sets attributes, such as the version numbers that modules leave in a dict.
absl::Status PickleMachine::Build() {
  RWKVD_RETURN_IF_ERROR(Pop().status());
  if (Available() == 0) return Complain("nothing on the stack");
  if (stack_.back()->kind != Kind::kDict) {
    return Complain("expected a dict to set attributes of");
  }
  return absl::OkStatus();
}

absl::StatusOr<Pickle> ReadPickle(absl::Span<const std::byte> bytes,
                                  absl::string_view where) {
  return PickleMachine(bytes, where).Run();
}

}  // namespace rwkvd
