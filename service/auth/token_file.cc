// SPDX-License-Identifier: Apache-2.0
#include "service/auth/token_file.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"

namespace rwkvd {
namespace {

// Tokens are longer, so a value of this size is not one.
constexpr size_t kMaxShownBytes = 24;

constexpr absl::string_view kDigestPrefix = "sha256:";
constexpr size_t kDigestDigits = 64;

// The prefixes of credentials that are in certificates.
struct CertificatePrefix {
  absl::string_view prefix;
  Credential::Kind kind;
};
constexpr CertificatePrefix kCertificatePrefixes[] = {
    {"uri:", Credential::Kind::kUri},
    {"dns:", Credential::Kind::kDns},
    {"cn:", Credential::Kind::kCommonName},
};

// How an error shows a value.
std::string Shown(absl::string_view value) {
  if (value.size() <= kMaxShownBytes) return Quoted(value);
  return absl::StrCat("a word of ", value.size(), " characters");
}

absl::Status Mismatch(absl::string_view what, absl::string_view expected,
                      absl::string_view got) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": expected ", expected, ", got ", got));
}

bool IsName(absl::string_view name) {
  const auto is_name_character = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), is_name_character);
}

absl::Status CheckName(absl::string_view what, absl::string_view name) {
  if (IsName(name)) return absl::OkStatus();
  return Mismatch(what,
                  absl::StrCat("1 to ", kMaxNameBytes,
                               " characters of a-z, 0-9, \"-\", \"_\", \".\""),
                  Shown(name));
}

bool IsDigest(absl::string_view digest) {
  return digest.size() == kDigestDigits &&
         std::all_of(digest.begin(), digest.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

absl::StatusOr<Credential> ParseCredential(absl::string_view word) {
  for (const CertificatePrefix& known : kCertificatePrefixes) {
    if (!absl::StartsWith(word, known.prefix)) continue;
    const absl::string_view name = word.substr(known.prefix.size());
    if (!name.empty() && name.size() <= kMaxCertificateName) {
      return Credential{known.kind, std::string(name)};
    }
    return Mismatch("credential",
                    absl::StrCat(known.prefix, " and 1 to ",
                                 kMaxCertificateName, " characters"),
                    absl::StrCat(name.size(), " characters"));
  }
  const bool is_digest = absl::StartsWith(word, kDigestPrefix) &&
                         IsDigest(word.substr(kDigestPrefix.size()));
  if (is_digest) {
    return Credential{Credential::Kind::kToken,
                      std::string(word.substr(kDigestPrefix.size()))};
  }
  return Mismatch("credential",
                  "sha256: and 64 digits of 0-9 and a-f, or uri:, dns: or cn: "
                  "and a name",
                  absl::StrCat("a word of ", word.size(), " characters"));
}

absl::Status ParseRoles(absl::string_view names, RoleSet* roles) {
  for (const absl::string_view name : absl::StrSplit(names, ',')) {
    const std::optional<Role> role = FindRole(name);
    if (!role.has_value()) {
      return Mismatch("roles", NamesOf(kAllRoles, ", "), Shown(name));
    }
    if ((*roles & SetOf(*role)) != 0) {
      return Mismatch("roles", "each role once",
                      absl::StrCat(name, " more than once"));
    }
    *roles = *roles | *role;
  }
  return absl::OkStatus();
}

absl::Status ParseSetting(absl::string_view name, absl::string_view value,
                          Identity* identity) {
  if (name == "roles") return ParseRoles(value, &identity->roles);
  if (name == "group") {
    identity->group = std::string(value);
    return CheckName(name, value);
  }
  if (!IsQuota(name)) {
    return Mismatch("setting", absl::StrCat("roles, group, ", QuotaNames()),
                    Shown(name));
  }
  return SetQuota(name, value, &identity->quotas)
             ? absl::OkStatus()
             : Mismatch(name, QuotaValues(name), Shown(value));
}

// The settings of an identity, `words`, each of the form NAME=VALUE.
absl::Status ParseSettings(absl::Span<const absl::string_view> words,
                           Identity* identity) {
  absl::flat_hash_set<absl::string_view> seen;
  for (const absl::string_view word : words) {
    const size_t sign = word.find('=');
    if (sign == absl::string_view::npos) {
      return Mismatch("setting", "NAME=VALUE", Shown(word));
    }
    const absl::string_view name = word.substr(0, sign);
    RWKVD_RETURN_IF_ERROR(ParseSetting(name, word.substr(sign + 1), identity));
    if (!seen.insert(name).second) {
      return Mismatch(name, "one value", "two");
    }
  }
  if (identity->roles != 0) return absl::OkStatus();
  return Mismatch("roles", "roles=ROLE,... on the first line of an identity",
                  "none");
}

// The words of a line, which spaces and tabs separate.
absl::StatusOr<std::vector<absl::string_view>> WordsOf(absl::string_view line) {
  if (line.size() > kMaxTokenLineBytes) {
    return Mismatch("line",
                    absl::StrCat("at most ", kMaxTokenLineBytes, " bytes"),
                    absl::StrCat(line.size()));
  }
  for (size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == '\t' || (byte >= ' ' && byte <= '~')) continue;
    return Mismatch(absl::StrCat("column ", i + 1), "printable ASCII",
                    absl::StrFormat("byte 0x%02x", byte));
  }
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

// Collects the lines of a file. Thread-compatible.
class TokenFileParser {
 public:
  absl::Status AddLine(absl::string_view line) {
    if (absl::StartsWith(line, "#")) return absl::OkStatus();
    RWKVD_ASSIGN_OR_RETURN(const std::vector<absl::string_view> words,
                           WordsOf(line));
    if (words.empty()) return absl::OkStatus();
    RWKVD_RETURN_IF_ERROR(CheckName("identity", words[0]));
    if (words.size() < 2) return Mismatch("credential", "one", "none");
    RWKVD_ASSIGN_OR_RETURN(Credential credential, ParseCredential(words[1]));
    RWKVD_RETURN_IF_ERROR(AddIdentity(words));
    return AddCredential(std::move(credential), words[0]);
  }

  std::vector<IdentityEntry> Take() { return std::move(entries_); }

 private:
  // Adds the identity of a line unless an earlier line has added it.
  absl::Status AddIdentity(absl::Span<const absl::string_view> words) {
    const auto [index, is_new] =
        by_name_.try_emplace(words[0], entries_.size());
    if (!is_new) {
      if (words.size() == 2) return absl::OkStatus();
      return Mismatch("settings",
                      "only on the first line of an identity, which has them "
                      "for all of its credentials",
                      absl::StrCat("settings on a further line of ", words[0]));
    }
    if (entries_.size() == kMaxIdentities) {
      return Mismatch("identity", absl::StrCat("at most ", kMaxIdentities),
                      "one more");
    }
    IdentityEntry entry;
    entry.identity.name = std::string(words[0]);
    RWKVD_RETURN_IF_ERROR(ParseSettings(words.subspan(2), &entry.identity));
    entries_.push_back(std::move(entry));
    return absl::OkStatus();
  }

  absl::Status AddCredential(Credential credential, absl::string_view name) {
    IdentityEntry& entry = entries_[by_name_.at(name)];
    if (entry.credentials.size() == kMaxCredentialsPerIdentity) {
      return Mismatch("credential",
                      absl::StrCat("at most ", kMaxCredentialsPerIdentity,
                                   " of each identity"),
                      absl::StrCat("one more of ", name));
    }
    const std::string key =
        absl::StrCat(static_cast<int>(credential.kind), ":", credential.value);
    const auto [owner, is_new] = owners_.try_emplace(key, name);
    if (!is_new) {
      return Mismatch(
          "credential", "each credential once",
          absl::StrCat("the same one for ", owner->second, " and ", name));
    }
    entry.credentials.push_back(std::move(credential));
    return absl::OkStatus();
  }

  std::vector<IdentityEntry> entries_;
  // Indices of entries_. The keys are views of the file.
  absl::flat_hash_map<absl::string_view, size_t> by_name_;
  absl::flat_hash_map<std::string, absl::string_view> owners_;
};

}  // namespace

absl::StatusOr<std::vector<IdentityEntry>> ParseTokenFile(
    absl::string_view text, absl::string_view path) {
  if (text.size() > kMaxTokenFileBytes) {
    return Mismatch(path,
                    absl::StrCat("at most ", kMaxTokenFileBytes, " bytes"),
                    absl::StrCat(text.size()));
  }
  TokenFileParser parser;
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::Status status = parser.AddLine(line);
    if (status.ok()) continue;
    return absl::Status(
        status.code(), absl::StrCat(path, ":", number, ": ", status.message()));
  }
  std::vector<IdentityEntry> entries = parser.Take();
  if (!entries.empty()) return entries;
  return Mismatch(path, "at least one identity", "none");
}

}  // namespace rwkvd
