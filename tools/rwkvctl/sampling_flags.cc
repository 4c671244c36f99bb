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
      *error = absl::StrCat(Quoted(part), " is no token id");
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
      *error = absl::StrCat(Quoted(part), " is no id:bias");
      return false;
    }
    flag->biases.emplace_back(id, bias);
  }
  return true;
}

std::string AbslUnparseFlag(const BiasesFlag& flag) {
  return absl::StrJoin(flag.biases, ",", absl::PairFormatter(":"));
}

// A value of an enum of the contract, without the enum's name and in any case.
template <typename Enum, bool (*Parse)(const std::string&, Enum*)>
struct EnumFlag {
  Enum value = static_cast<Enum>(0);  // of the contract: not said

  friend bool AbslParseFlag(absl::string_view text, EnumFlag* flag,
                            std::string* error) {
    if (Parse(absl::StrCat(Prefix(), absl::AsciiStrToUpper(text)),
              &flag->value)) {
      return true;
    }
    *error = absl::StrCat("there are ", absl::StrJoin(Names(), ", "));
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
  // The enum's name, as its values begin with it.
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
          "Defaults of the flags below: rwkv, rwkv_chat or smolrsrwkv.");
ABSL_FLAG(std::optional<float>, temperature, std::nullopt,
          "0 takes the likeliest token; 1, the default, leaves probabilities "
          "as they are.");
ABSL_FLAG(std::optional<int32_t>, top_k, std::nullopt,
          "Draw from the k likeliest tokens only; 0 for all.");
ABSL_FLAG(std::optional<float>, top_p, std::nullopt,
          "Draw from the likeliest tokens that together have this "
          "probability.");
ABSL_FLAG(
    std::optional<float>, min_p, std::nullopt,
    "Draw from tokens at least so many times as likely as the likeliest.");
ABSL_FLAG(std::optional<float>, typical_p, std::nullopt,
          "Draw from the most typical tokens that together have this "
          "probability.");
ABSL_FLAG(std::optional<float>, tail_free_z, std::nullopt,
          "Cut off the tail of unlikely tokens; 1 for none.");
ABSL_FLAG(rwkvd::OrderFlag, order, {},
          "What comes first: top_p_first, top_k_first or temperature_first.");
ABSL_FLAG(
    int32_t, mirostat, 0,
    "Keep the surprise of tokens near --mirostat_tau, by version 1 or 2.");
ABSL_FLAG(std::optional<float>, mirostat_tau, std::nullopt,
          "That surprise, in bits; 5 by default.");
ABSL_FLAG(std::optional<float>, mirostat_eta, std::nullopt,
          "How fast it is approached; 0.1 by default.");
ABSL_FLAG(std::optional<float>, presence_penalty, std::nullopt,
          "Taken once from the logit of each token already generated.");
ABSL_FLAG(std::optional<float>, frequency_penalty, std::nullopt,
          "Taken from it once for each time it was generated.");
ABSL_FLAG(std::optional<float>, penalty_decay, std::nullopt,
          "Multiplies those counts at every step.");
ABSL_FLAG(std::optional<int32_t>, penalty_window, std::nullopt,
          "How many of the last tokens they look at; 0, the default, for all.");
ABSL_FLAG(std::optional<float>, repetition_penalty, std::nullopt,
          "Divides the logit of each token already generated, or multiplies it "
          "if it is negative.");
ABSL_FLAG(std::optional<int32_t>, repetition_window, std::nullopt,
          "How many of the last tokens it looks at; 64 by default, 0 for all.");
ABSL_FLAG(rwkvd::ScopeFlag, penalty_scope, {},
          "What penalties look at: output, the default, prompt or "
          "prompt_and_output.");
ABSL_FLAG(std::optional<bool>, exempt_blanks_and_digits, std::nullopt,
          "Do not count blanks and digits for --frequency_penalty.");
ABSL_FLAG(rwkvd::BiasesFlag, logit_bias, {},
          "Added to logits: id:bias, separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, banned_tokens, {},
          "Never drawn: token ids separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, allowed_tokens, {},
          "Draw only these token ids, separated by commas.");
ABSL_FLAG(rwkvd::TokenIdsFlag, forced_tokens, {},
          "The answer begins with these token ids, separated by commas.");
ABSL_FLAG(std::optional<bool>, never_end, std::nullopt,
          "Never draw the end of text.");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "The same seed gives the same answer; drawn at random if absent.");

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
