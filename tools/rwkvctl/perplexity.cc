// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/document_parts.h"
#include "tools/rwkvctl/initial_state.h"
#include "tools/rwkvctl/input.h"
#include "tools/rwkvctl/token_texts.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

void Print(const v1::DocumentTotal& total) {
  const double tokens = static_cast<double>(total.token_count());
  const double bytes = static_cast<double>(total.byte_count());
  const double nats = -total.logprob_sum();
  // Without a tokenizer, tokens stand for no bytes.
  const std::string bits =
      bytes > 0 ? absl::StrFormat("%.4f", nats / std::log(2.0) / bytes) : "-";
  absl::PrintF(
      "perplexity %.4f, bits per byte %s; %d tokens, %d bytes, top-1 "
      "accuracy %.1f %%\n",
      tokens > 0 ? std::exp(nats / tokens) : 1, bits, total.token_count(),
      total.byte_count(),
      tokens > 0 ? 100 * static_cast<double>(total.greedy_count()) / tokens
                 : 0);
}

// Returns the parts of a document, each of which is a message, one after the
// other; an empty one at the end.
using NextPart = absl::FunctionRef<v1::Input()>;

int Score(NextPart next_part) {
  Call call;
  const auto stub = v1::RwkvService::NewStub(Connect());
  const auto stream = stub->ScoreDocument(call.context());
  v1::ScoreDocumentRequest request;
  request.set_initial_state(InitialState());
  do {
    *request.mutable_part() = next_part();
    if (!stream->Write(request)) break;  // Finish returns the reason
    request.clear_initial_state();       // allowed in the first message only
  } while (!request.part().bytes().empty() ||
           !request.part().tokens().ids().empty());
  stream->WritesDone();
  std::optional<v1::DocumentTotal> total;
  v1::ScoreDocumentResponse response;
  while (stream->Read(&response)) {
    if (response.has_total()) total = response.total();
  }
  const grpc::Status status = stream->Finish();
  if (status.ok() && total.has_value()) {
    if (WantJson()) {
      PrintJson(*total);
    } else {
      Print(*total);
    }
  }
  return call.ExitCode(status);
}

int ScoreText(std::istream& document) {
  DocumentParts parts(&document);
  return Score([&parts] {
    v1::Input part;
    part.set_bytes(parts.Next());
    return part;
  });
}

// The most tokens in one message.
constexpr size_t kMaxTokensInPart = 16384;

absl::StatusOr<int> ScoreTokens(std::istream& document) {
  const std::string text(std::istreambuf_iterator<char>(document), {});
  RWKVD_ASSIGN_OR_RETURN(const std::vector<int32_t> all, ParseIds(text));
  absl::Span<const int32_t> rest = all;
  return Score([&rest] {
    const absl::Span<const int32_t> ids = rest.subspan(0, kMaxTokensInPart);
    rest.remove_prefix(ids.size());
    v1::Input part;
    part.mutable_tokens()->mutable_ids()->Assign(ids.begin(), ids.end());
    return part;
  });
}

absl::StatusOr<int> ScoreUnlessEmpty(const std::string& name,
                                     std::istream& document) {
  if (document.peek() == std::istream::traits_type::eof()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, document.bad() ? ": cannot be read" : ": the text is empty"));
  }
  return TextsAreTokens() ? ScoreTokens(document) : ScoreText(document);
}

absl::StatusOr<int> RunPerplexity(const std::vector<std::string>& arguments) {
  if (arguments.size() != 1) {
    return absl::InvalidArgumentError("perplexity takes one file, or \"-\"");
  }
  if (arguments[0] == "-") return ScoreUnlessEmpty("standard input", std::cin);
  std::ifstream file(arguments[0], std::ios::binary);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open ", arguments[0], ": ", std::strerror(errno)));
  }
  return ScoreUnlessEmpty(arguments[0], file);
}

constexpr absl::string_view kPerplexityFiles[] = {kInitialStateFile,
                                                  kTokenTextsFile};

}  // namespace

const Command kPerplexity = {
    "perplexity",
    "FILE | -",
    "measure how well the model predicts a text",
    "Prints a text's perplexity per token, and its bits per byte, which are "
    "comparable\nbetween models with different tokenizers. The text may have "
    "any length.",
    "rwkvctl perplexity book.txt\n"
    "zcat corpus.gz | rwkvctl perplexity - --json",
    kPerplexityFiles,
    &RunPerplexity};

}  // namespace rwkvd
