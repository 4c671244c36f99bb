// SPDX-License-Identifier: Apache-2.0
#include "tools/rwkvctl/token_credentials.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string* value) : value_(value) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                PRE_SEND_INITIAL_METADATA)) {
      batch->GetSendInitialMetadata()->emplace("authorization", *value_);
    }
    batch->Proceed();
  }

 private:
  const std::string* const value_;  // the factory's
};

class TokenInterceptorFactory final
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(const std::string& token)
      : value_(absl::StrCat("Bearer ", token)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(&value_);
  }

 private:
  const std::string value_;
};

bool IsToken(absl::string_view token) {
  return !token.empty() && std::all_of(token.begin(), token.end(), [](char c) {
    return c > ' ' && c <= '~';
  });
}

}  // namespace

absl::StatusOr<std::string> ReadClientToken(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("--token_file: cannot open ", path));
  }
  const absl::Cleanup close = [file] { std::fclose(file); };
  std::string text(kMaxClientTokenBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  const absl::string_view token = absl::StripAsciiWhitespace(text);
  if (text.size() <= kMaxClientTokenBytes && IsToken(token)) {
    return std::string(token);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--token_file: ", path, ": expected one word of printable ASCII, got ",
      text.size(), " bytes that are something else"));
}

std::vector<
    std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
TokenInterceptors(const std::string& token) {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      factories;
  factories.push_back(std::make_unique<TokenInterceptorFactory>(token));
  return factories;
}

}  // namespace rwkvd
