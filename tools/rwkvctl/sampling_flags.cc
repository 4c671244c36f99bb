// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/sampling_flags.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/marshalling.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

// Token ids separated by commas.
struct TokenIdsFlag {
  std::vector<int32_t> ids;
};

bool AbslParseFlag(absl::string_view text, TokenIdsFlag* flag,
                   std::string* error) {
  flag->ids.clear();
  for (const absl::string_view part :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(part, &id)) {
      *error = absl::StrCat(Quoted(part), " is not a token id");
      return false;
    }
    flag->ids.push_back(id);
  }
  return true;
}

std::string AbslUnparseFlag(const TokenIdsFlag& flag) {
  return absl::StrJoin(flag.ids, ",");
}

// Pairs "id:bias" separated by commas.
struct BiasesFlag {
  std::vector<std::pair<int32_t, float>> biases;
};

bool AbslParseFlag(absl::string_view text, BiasesFlag* flag,
                   std::string* error) {
  flag->biases.clear();
  for (const absl::string_view part :
       absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> pair = absl::StrSplit(part, ':');
    int32_t id = 0;
    float bias = 0;
    if (pair.size() != 2 || !absl::SimpleAtoi(pair[0], &id) ||
        !absl::SimpleAtof(pair[1], &bias)) {
      *error = absl::StrCat(Quoted(part), " is not an id:bias pair");
      return false;
    }
    flag->biases.emplace_back(id, bias);
  }
  return true;
}

std::string AbslUnparseFlag(const BiasesFlag& flag) {
  return absl::StrJoin(flag.biases, ",", absl::PairFormatter(":"));
}

// A flag whose value is a protobuf enum's value, without the enum's prefix and
// in upper or lower case.
template <typename Enum, bool (*Parse)(const std::string&, Enum*)>
struct EnumFlag {
  Enum value = static_cast<Enum>(0);  // ..._UNSPECIFIED

  friend bool AbslParseFlag(absl::string_view text, EnumFlag* flag,
                            std::string* error) {
    if (Parse(absl::StrCat(Prefix(), absl::AsciiStrToUpper(text)),
              &flag->value)) {
      return true;
    }
    *error = absl::StrCat("expected one of ", absl::StrJoin(Names(), ", "));
    return false;
  }
  friend std::string AbslUnparseFlag(const EnumFlag& flag) {
    return flag.value == 0 ? ""
                           : NameOf(Descriptor().FindValueByNumber(
                                 static_cast<int>(flag.value)));
  }

 private:
  static const google::protobuf::EnumDescriptor& Descriptor() {
    return *google::protobuf::GetEnumDescriptor<Enum>();
  }
  // The prefix that the names of all the enum's values share.
  static absl::string_view Prefix() {
    const absl::string_view unspecified = Descriptor().value(0)->name();
    return unspecified.substr(0, unspecified.rfind('_') + 1);
  }
  static std::string NameOf(
      const google::protobuf::EnumValueDescriptor* value) {
    return absl::AsciiStrToLower(absl::StripPrefix(value->name(), Prefix()));
  }
  static std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (int i = 1; i < Descriptor().value_count(); ++i) {
      names.push_back(NameOf(Descriptor().value(i)));
    }
    return names;
  }
};

bool ParsePreset(const std::string& name, v1::SamplingPreset* value) {
  return v1::SamplingPreset_Parse(name, value);
}
bool ParseOrder(const std::string& name, v1::SamplerOrder* value) {
  return v1::SamplerOrder_Parse(name, value);
}
bool ParseScope(const std::string& name, v1::PenaltyScope* value) {
  return v1::PenaltyScope_Parse(name, value);
}

using PresetFlag = EnumFlag<v1::SamplingPreset, &ParsePreset>;
using OrderFlag = EnumFlag<v1::SamplerOrder, &ParseOrder>;
using ScopeFlag = EnumFlag<v1::PenaltyScope, &ParseScope>;

}  // namespace
}  // namespace rwkvd

ABSL_FLAG(rwkvd::PresetFlag, preset, {},
          "Set of defaults for the flags below: rwkv, rwkv_chat or "
          "smolrsrwkv.");
ABSL_FLAG(std::optional<float>, temperature, std::nullopt,
          "Divides the logits. 0 always picks the likeliest token. "
          "Default: 1.");
ABSL_FLAG(std::optional<int32_t>, top_k, std::nullopt,
          "Sample from the k likeliest tokens only; 0 for all.");
ABSL_FLAG(std::optional<float>, top_p, std::nullopt,
          "Sample from the likeliest tokens whose probabilities add up to "
          "this value.");
ABSL_FLAG(std::optional<float>, min_p, std::nullopt,
          "Sample from tokens whose probability is at least this fraction of "
          "the highest one.");
ABSL_FLAG(std::optional<float>, typical_p, std::nullopt,
          "Sample from the most typical tokens whose probabilities add up to "
          "this value.");
ABSL_FLAG(std::optional<float>, tail_free_z, std::nullopt,
          "Remove the tail of unlikely tokens (tail-free sampling); 1 for "
          "none.");
ABSL_FLAG(rwkvd::OrderFlag, order, {},
          "Which step comes first: top_p_first, top_k_first or "
          "temperature_first.");
ABSL_FLAG(int32_t, mirostat, 0,
          "Mirostat version, 1 or 2; 0 for none. Keeps the surprise of tokens "
          "near --mirostat_tau.");
ABSL_FLAG(std::optional<float>, mirostat_tau, std::nullopt,
          "Target surprise in bits. Default: 5.");
ABSL_FLAG(std::optional<float>, mirostat_eta, std::nullopt,
          "Learning rate of Mirostat. Default: 0.1.");
ABSL_FLAG(std::optional<float>, presence_penalty, std::nullopt,
          "Subtracted from the logit of each token that was already "
          "generated.");
ABSL_FLAG(std::optional<float>, frequency_penalty, std::nullopt,
          "Subtracted from a token's logit once for each time that the token "
          "was generated.");
ABSL_FLAG(std::optional<float>, penalty_decay, std::nullopt,
          "Multiplies the counts of --frequency_penalty after every token.");
ABSL_FLAG(std::optional<int32_t>, penalty_window, std::nullopt,
          "Number of last tokens that presence and frequency penalties count; "
          "0 for all. Default: 0.");
ABSL_FLAG(std::optional<float>, repetition_penalty, std::nullopt,
          "Divides the logit of each token that was already generated if the "
          "logit is positive, and multiplies it if it is negative.");
ABSL_FLAG(std::optional<int32_t>, repetition_window, std::nullopt,
          "Number of last tokens that --repetition_penalty considers; 0 for "
          "all. Default: 64.");
ABSL_FLAG(rwkvd::ScopeFlag, penalty_scope, {},
          "Tokens that penalties consider: output, prompt or "
          "prompt_and_output. Default: output.");
ABSL_FLAG(std::optional<bool>, exempt_blanks_and_digits, std::nullopt,
          "Exclude blanks and digits from --frequency_penalty.");
ABSL_FLAG(rwkvd::BiasesFlag, logit_bias, {},
          "Biases added to logits: id:bias pairs, separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, banned_tokens, {},
          "Token ids that are never sampled, separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, allowed_tokens, {},
          "Sample only these token ids, separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, forced_tokens, {},
          "Start the answer with these token ids, separated by commas.");
ABSL_FLAG(std::optional<bool>, never_end, std::nullopt,
          "Never sample the end-of-text token.");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "Seed of the random numbers; the same seed gives the same answer. "
          "Default: random.");

namespace rwkvd {
namespace {

void SetChoices(v1::Sampling* sampling) {
  sampling->set_preset(absl::GetFlag(FLAGS_preset).value);
  sampling->set_order(absl::GetFlag(FLAGS_order).value);
  if (auto v = absl::GetFlag(FLAGS_temperature)) sampling->set_temperature(*v);
  if (auto v = absl::GetFlag(FLAGS_top_k)) sampling->set_top_k(*v);
  if (auto v = absl::GetFlag(FLAGS_top_p)) sampling->set_top_p(*v);
  if (auto v = absl::GetFlag(FLAGS_min_p)) sampling->set_min_p(*v);
  if (auto v = absl::GetFlag(FLAGS_typical_p)) sampling->set_typical_p(*v);
  if (auto v = absl::GetFlag(FLAGS_tail_free_z)) sampling->set_tail_free_z(*v);
  if (auto v = absl::GetFlag(FLAGS_mirostat); v != 0) {
    sampling->mutable_mirostat()->set_version(v);
  }
  if (auto v = absl::GetFlag(FLAGS_mirostat_tau)) {
    sampling->mutable_mirostat()->set_tau(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_mirostat_eta)) {
    sampling->mutable_mirostat()->set_eta(*v);
  }
}

void SetPenalties(v1::Sampling* sampling) {
  sampling->set_penalty_scope(absl::GetFlag(FLAGS_penalty_scope).value);
  if (auto v = absl::GetFlag(FLAGS_presence_penalty)) {
    sampling->set_presence_penalty(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_frequency_penalty)) {
    sampling->set_frequency_penalty(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_penalty_decay)) {
    sampling->set_penalty_decay(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_penalty_window)) {
    sampling->set_penalty_window(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_repetition_penalty)) {
    sampling->set_repetition_penalty(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_repetition_window)) {
    sampling->set_repetition_window(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_exempt_blanks_and_digits)) {
    sampling->set_exempt_blanks_and_digits(*v);
  }
}

void SetTokens(v1::Sampling* sampling) {
  for (const auto& [id, bias] : absl::GetFlag(FLAGS_logit_bias).biases) {
    v1::LogitBias* added = sampling->add_logit_bias();
    added->set_id(id);
    added->set_bias(bias);
  }
  for (const int32_t id : absl::GetFlag(FLAGS_banned_tokens).ids) {
    sampling->add_banned_tokens(id);
  }
  for (const int32_t id : absl::GetFlag(FLAGS_allowed_tokens).ids) {
    sampling->add_allowed_tokens(id);
  }
  for (const int32_t id : absl::GetFlag(FLAGS_forced_tokens).ids) {
    sampling->add_forced_tokens(id);
  }
  if (auto v = absl::GetFlag(FLAGS_never_end)) sampling->set_never_end(*v);
}

}  // namespace

void SetSampling(v1::Sampling* sampling) {
  SetChoices(sampling);
  SetPenalties(sampling);
  SetTokens(sampling);
  if (auto v = absl::GetFlag(FLAGS_seed)) sampling->set_seed(*v);
}

}  // namespace rwkvd
