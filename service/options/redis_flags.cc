// SPDX-License-Identifier: Apache-2.0
#include "service/options/redis_flags.h"

#include <algorithm>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/base/quote.h"
#include "core/base/status_macros.h"
#include "service/options/flag_checks.h"

ABSL_FLAG(std::string, state_store, "",
          "A Redis or Valkey server for states that are saved for clients, "
          "instead of --state_dir: redis://HOST[:PORT][/DATABASE], the same "
          "with rediss:// for TLS, or redis+unix:PATH. All servers with the "
          "same store and --state_store_prefix share the states.");
ABSL_FLAG(std::string, state_store_user, "",
          "The user of --state_store (ACL). If empty, its default user.");
ABSL_FLAG(std::string, state_store_password_file, "",
          "A file with the password for --state_store. It is read for each "
          "new connection.");
ABSL_FLAG(std::string, state_store_ca, "",
          "A file with certificates of authorities in PEM form, one of which "
          "has issued the certificate of --state_store (rediss://). If empty, "
          "the authorities that the system trusts.");
ABSL_FLAG(std::string, state_store_cert, "",
          "A file with the client certificate for --state_store in PEM form.");
ABSL_FLAG(std::string, state_store_key, "",
          "A file with the private key of --state_store_cert in PEM form.");
ABSL_FLAG(std::string, state_store_server_name, "",
          "The name in the certificate of --state_store, if it is not the "
          "host.");
ABSL_FLAG(std::string, state_store_prefix, "rwkvd",
          "What the keys in --state_store begin with, before a colon: 1 to 64 "
          "letters, digits, \".\", \"_\", \"-\" and \":\".");
ABSL_FLAG(absl::Duration, state_store_timeout, absl::Seconds(5),
          "How long an access to --state_store may take, including the "
          "transfer of a state. In [100ms, 1m].");

namespace rwkvd {
namespace {

constexpr int32_t kMaxDatabase = 9999;
constexpr size_t kMaxHost = 255;
constexpr size_t kMaxUser = 128;
constexpr size_t kMaxPrefix = 64;
// The largest path of a Unix socket.
constexpr size_t kMaxUnixPath = 107;

constexpr absl::string_view kForm =
    "expected redis://HOST[:PORT][/DATABASE], rediss:// with the same, or "
    "redis+unix:PATH";

bool IsNameCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == '-' || c == ':';
}

bool IsName(absl::string_view text, size_t max_size) {
  return !text.empty() && text.size() <= max_size &&
         std::all_of(text.begin(), text.end(), IsNameCharacter);
}

// Whether `text` is an integer in [low, high], without a sign.
bool ParseNumber(absl::string_view text, int32_t low, int32_t high,
                 int32_t* number) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(text, number) && *number >= low && *number <= high;
}

// Splits HOST[:PORT] or [ADDRESS][:PORT].
bool ParseHost(absl::string_view text, RedisOptions* options) {
  absl::string_view rest;
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) return false;
    rest = text.substr(end + 1);
    text = text.substr(0, end);
  } else if (const size_t colon = text.find(':');
             colon != absl::string_view::npos) {
    rest = text.substr(colon);
    text = text.substr(0, colon);
  }
  options->host = std::string(text);
  if (!IsName(text, kMaxHost)) return false;
  return rest.empty() || (absl::ConsumePrefix(&rest, ":") &&
                          ParseNumber(rest, 1, 65535, &options->port));
}

bool ParseUrl(absl::string_view url, RedisOptions* options) {
  if (absl::ConsumePrefix(&url, "redis+unix:")) {
    options->unix_path = std::string(url);
    return !url.empty() && url.size() <= kMaxUnixPath;
  }
  options->has_tls = absl::ConsumePrefix(&url, "rediss://");
  if (!options->has_tls && !absl::ConsumePrefix(&url, "redis://")) return false;
  if (const size_t slash = url.find('/'); slash != absl::string_view::npos) {
    if (!ParseNumber(url.substr(slash + 1), 0, kMaxDatabase,
                     &options->database)) {
      return false;
    }
    url = url.substr(0, slash);
  }
  return ParseHost(url, options);
}

absl::Status CheckTlsFlags(const RedisOptions& options) {
  const std::pair<const char*, const std::string&> flags[] = {
      {"state_store_ca", options.ca},
      {"state_store_cert", options.cert},
      {"state_store_key", options.key},
      {"state_store_server_name", options.server_name}};
  for (const auto& [flag, value] : flags) {
    if (!value.empty() && !options.has_tls) {
      return FlagError(flag, "needs --state_store=rediss://...");
    }
  }
  if (options.cert.empty() != options.key.empty()) {
    return FlagError(
        options.cert.empty() ? "state_store_key" : "state_store_cert", "needs ",
        options.cert.empty() ? "--state_store_cert" : "--state_store_key");
  }
  if (!options.server_name.empty() && !IsName(options.server_name, kMaxHost)) {
    return FlagError("state_store_server_name", "expected a name, got ",
                     Quoted(options.server_name));
  }
  return absl::OkStatus();
}

absl::Status Check(const RedisOptions& options) {
  if (!options.user.empty() && !IsName(options.user, kMaxUser)) {
    return FlagError("state_store_user", "expected 1 to ", kMaxUser,
                     " letters, digits, \".\", \"_\", \"-\" and \":\"");
  }
  if (!options.user.empty() && options.password_file.empty()) {
    return FlagError("state_store_user", "needs --state_store_password_file");
  }
  if (!IsName(options.prefix, kMaxPrefix)) {
    return FlagError("state_store_prefix", "expected 1 to ", kMaxPrefix,
                     " letters, digits, \".\", \"_\", \"-\" and \":\", got ",
                     Quoted(options.prefix));
  }
  if (options.timeout < absl::Milliseconds(100) ||
      options.timeout > absl::Minutes(1)) {
    return FlagError("state_store_timeout",
                     absl::FormatDuration(options.timeout),
                     " is not in [100ms, 1m]");
  }
  return CheckTlsFlags(options);
}

// The flags of a store that need one.
absl::Status CheckWithoutStore() {
  const std::pair<const char*, std::string> flags[] = {
      {"state_store_user", absl::GetFlag(FLAGS_state_store_user)},
      {"state_store_password_file",
       absl::GetFlag(FLAGS_state_store_password_file)},
      {"state_store_ca", absl::GetFlag(FLAGS_state_store_ca)},
      {"state_store_cert", absl::GetFlag(FLAGS_state_store_cert)},
      {"state_store_key", absl::GetFlag(FLAGS_state_store_key)},
      {"state_store_server_name",
       absl::GetFlag(FLAGS_state_store_server_name)}};
  for (const auto& [flag, value] : flags) {
    if (!value.empty()) return FlagError(flag, "needs --state_store");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<RedisOptions>> ReadRedisFlags() {
  const std::string url = absl::GetFlag(FLAGS_state_store);
  if (url.empty()) {
    RWKVD_RETURN_IF_ERROR(CheckWithoutStore());
    return std::nullopt;
  }
  RedisOptions options;
  if (url.find('@') != std::string::npos) {  // the value is not shown
    return FlagError("state_store",
                     "expected no user and no password, since others can see "
                     "the command line; use --state_store_user and "
                     "--state_store_password_file");
  }
  if (!ParseUrl(url, &options)) {
    return FlagError("state_store", kForm, ", got ", Quoted(url));
  }
  options.user = absl::GetFlag(FLAGS_state_store_user);
  options.password_file = absl::GetFlag(FLAGS_state_store_password_file);
  options.ca = absl::GetFlag(FLAGS_state_store_ca);
  options.cert = absl::GetFlag(FLAGS_state_store_cert);
  options.key = absl::GetFlag(FLAGS_state_store_key);
  options.server_name = absl::GetFlag(FLAGS_state_store_server_name);
  options.prefix = absl::GetFlag(FLAGS_state_store_prefix);
  options.timeout = absl::GetFlag(FLAGS_state_store_timeout);
  RWKVD_RETURN_IF_ERROR(Check(options));
  return options;
}

}  // namespace rwkvd
