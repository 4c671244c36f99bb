// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"
#include "tools/rwkvctl/document_parts.h"
#include "tools/rwkvctl/initial_state.h"

namespace rwkvd {
namespace {

namespace v1 = ::rwkv::v1;

void Print(const v1::DocumentTotal& total) {
  const double tokens = static_cast<double>(total.token_count());
  const double bytes = static_cast<double>(total.byte_count());
  const double nats = -total.logprob_sum();
  absl::PrintF(
      "perplexity %.4f, bits per byte %.4f; %d tokens, %d bytes, top-1 "
      "accuracy %.1f %%\n",
      tokens > 0 ? std::exp(nats / tokens) : 1,
      bytes > 0 ? nats / std::log(2.0) / bytes : 0, total.token_count(),
      total.byte_count(),
      tokens > 0 ? 100 * static_cast<double>(total.greedy_count()) / tokens
                 : 0);
}

int Score(std::istream& document) {
  Call call;
  const auto stub = v1::RwkvService::NewStub(Connect());
  const auto stream = stub->ScoreDocument(call.context());
  DocumentParts parts(&document);
  v1::ScoreDocumentRequest request;
  request.set_initial_state(InitialState());
  do {
    request.mutable_part()->set_bytes(parts.Next());
    if (!stream->Write(request)) break;  // Finish returns the reason
    request.clear_initial_state();       // allowed in the first message only
  } while (!request.part().bytes().empty());
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

absl::StatusOr<int> ScoreUnlessEmpty(const std::string& name,
                                     std::istream& document) {
  if (document.peek() != std::istream::traits_type::eof()) {
    return Score(document);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, document.bad() ? ": cannot be read" : ": the text is empty"));
}

absl::StatusOr<int> Run(const std::vector<std::string>& arguments) {
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

constexpr absl::string_view kFiles[] = {kInitialStateFile};

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
    kFiles,
    &Run};

}  // namespace rwkvd
