// SPDX-License-Identifier: Apache-2.0
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/grpc_status.h"
#include "core/base/quote.h"
#include "core/base/sha256.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

ABSL_FLAG(std::string, roles, "infer,score",
          "What the identity may do: infer, score, states, pins, admin and "
          "metrics, separated by commas. Empty for a further token of an "
          "identity that the file has already.");

namespace rwkvd {
namespace {

// Makes tokens recognizable, for people and for programs that search texts for
// secrets.
constexpr absl::string_view kTokenPrefix = "rwkvd_";

constexpr size_t kTokenBytes = 32;

absl::StatusOr<std::string> NewToken() {
  std::array<char, kTokenBytes> bytes;
  if (getrandom(bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size())) {
    return absl::ErrnoToStatus(errno, "cannot get random bytes");
  }
  std::string text;
  absl::WebSafeBase64Escape({bytes.data(), bytes.size()}, &text);
  return absl::StrCat(kTokenPrefix, text);
}

// Whether the text has 1 to 63 characters of a-z, 0-9, and `more`. The server
// checks everything else of a line.
bool IsWord(absl::string_view text, absl::string_view more) {
  return !text.empty() && text.size() <= 63 &&
         text.find_first_not_of(
             absl::StrCat("abcdefghijklmnopqrstuvwxyz0123456789", more)) ==
             absl::string_view::npos;
}

// The line of the token in the file of --auth_tokens.
std::string LineOf(absl::string_view token, absl::string_view name,
                   absl::string_view roles) {
  Sha256 digest;
  digest.Update(
      {reinterpret_cast<const std::byte*>(token.data()), token.size()});
  return absl::StrCat(name, " sha256:", digest.Hex(),
                      roles.empty() ? "" : " roles=", roles);
}

absl::StatusOr<int> RunAuth(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2 || arguments[0] != "new") {
    return absl::InvalidArgumentError("auth takes: new NAME");
  }
  const std::string name = arguments[1];
  if (!IsWord(name, "-_.")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "auth new: expected a name of 1 to 63 characters of a-z, 0-9, \"-\", "
        "\"_\" and \".\", got ",
        Quoted(name)));
  }
  const std::string roles = absl::GetFlag(FLAGS_roles);
  if (!roles.empty() && !IsWord(roles, ",")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--roles: expected roles separated by commas, got ", Quoted(roles)));
  }
  const absl::StatusOr<std::string> token = NewToken();
  if (!token.ok()) return ExitCode(ToGrpcStatus(token.status()));
  const std::string line = LineOf(*token, name, roles);
  if (WantJson()) {  // neither has a character that JSON escapes
    absl::PrintF("{\"token\":\"%s\",\"line\":\"%s\"}\n", *token, line);
  } else {
    absl::PrintF("%s\n%s\n", *token, line);
  }
  return kExitOk;
}

constexpr absl::string_view kAuthFiles[] = {"tools/rwkvctl/auth.cc"};

}  // namespace

const Command kAuth = {
    "auth",
    "new NAME",
    "make a token for a server with --auth_tokens",
    "Makes a token of 32 random bytes, and prints two lines: the token, which "
    "only its\nowner should know, and its line for the file of --auth_tokens, "
    "which has no secret.\nDoes not call the server.",
    "rwkvctl auth new alice --roles=infer,score,states\n"
    "rwkvctl auth new alice | (umask 077; read -r token; echo \"$token\" > "
    "alice.token; cat >> tokens)\n"
    "rwkvctl generate --token_file=alice.token \"Hello\"",
    kAuthFiles,
    &RunAuth};

}  // namespace rwkvd
