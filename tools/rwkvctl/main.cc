// SPDX-License-Identifier: Apache-2.0
// rwkvctl: the command-line client of rwkvd.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "cli/command_line.h"
#include "cli/failure_handlers.h"
#include "cli/standard_descriptors.h"
#include "cli/version.h"
#include "tools/rwkvctl/command.h"
#include "tools/rwkvctl/connection.h"

namespace rwkvd {
namespace {

constexpr absl::string_view kCommonFile = "tools/rwkvctl/connection.cc";

const Command* const kCommands[] = {
    &kGenerate, &kChat, &kTokenize, &kDetokenize, &kScore, &kPerplexity,
    &kModel,    &kPins, &kHealth,   &kBench,      &kAuth};

constexpr absl::string_view kExitCodes =
    "Exit codes: 0 success, 1 failure, 2 wrong command line, 130 "
    "interrupted.\n";

std::string Overview() {
  std::string text =
      "rwkvctl is a client of rwkvd, a server for RWKV language models.\n\n";
  for (const Command* command : kCommands) {
    absl::StrAppendFormat(&text, "  rwkvctl %-10s %s\n", command->name,
                          command->summary);
  }
  return absl::StrCat(text,
                      "\nAll commands accept --server=HOST:PORT (default "
                      "127.0.0.1:50051), --token_file=FILE and --json.\n"
                      "rwkvctl COMMAND --help "
                      "prints details and examples.\n\n",
                      kExitCodes);
}

std::string Indented(absl::string_view examples) {
  std::string text;
  for (absl::string_view line : absl::StrSplit(examples, '\n')) {
    absl::StrAppend(&text, "  ", line, "\n");
  }
  return text;
}

std::string Describe(const Command& command) {
  const absl::string_view common[] = {kCommonFile};
  const std::string own = DescribeFlags(command.files);
  return absl::StrCat(
      "rwkvctl ", command.name, " [FLAGS]",
      command.arguments.empty() ? "" : " ", command.arguments, "\n\n",
      command.help, "\n\nExamples:\n", Indented(command.examples),
      own.empty() ? "" : "\nFlags:\n", own, "\nFlags of every command:\n",
      DescribeFlags(common), "\n", kExitCodes);
}

int UsageError(absl::string_view what) {
  std::fprintf(stderr, "rwkvctl: %s\n", std::string(what).c_str());
  return kExitUsage;
}

int RunCommand(const Command& command, const std::vector<std::string>& args) {
  std::vector<absl::string_view> files(command.files.begin(),
                                       command.files.end());
  files.push_back(kCommonFile);
  const absl::StatusOr<CommandLine> line = ParseCommandLine(args, files);
  if (!line.ok()) return UsageError(line.status().message());
  if (line->help) {
    std::fputs(Describe(command).c_str(), stdout);
    return kExitOk;
  }
  const absl::Status server = CheckServer();
  if (!server.ok()) return UsageError(server.message());
  const absl::StatusOr<int> code = command.run(line->arguments);
  return code.ok() ? *code : UsageError(code.status().message());
}

const Command* FindCommand(absl::string_view name) {
  for (const Command* command : kCommands) {
    if (command->name == name) return command;
  }
  return nullptr;
}

int UnknownCommand(absl::string_view name) {
  if (absl::StartsWith(name, "-")) {
    return UsageError(absl::StrCat("flag ", name, " before the command; write ",
                                   "rwkvctl COMMAND [FLAGS]"));
  }
  std::vector<std::string> names;
  for (const Command* command : kCommands) names.emplace_back(command->name);
  const std::string nearest = NearestName(name, names);
  return UsageError(absl::StrCat(
      "unknown command ", name,
      nearest.empty() ? "" : absl::StrCat(", did you mean ", nearest, "?"),
      " (rwkvctl --help lists all commands)"));
}

int Main(std::vector<std::string> args) {
  std::string name = args.empty() ? "--help" : args[0];
  if (name == "help" && args.size() > 1) {  // help COMMAND
    name = args[1];
    args = {name, "--help"};
  }
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(Overview().c_str(), stdout);
    return args.empty() ? kExitUsage : kExitOk;
  }
  if (name == "--version") {
    std::printf("rwkvctl %s\n", kVersion);
    return kExitOk;
  }
  const Command* command = FindCommand(name);
  if (command == nullptr) return UnknownCommand(name);
  return RunCommand(*command, {args.begin() + 1, args.end()});
}

// Returns `code`, or a failure if writing to standard output failed.
int CheckOutput(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fputs("rwkvctl: cannot write to standard output\n", stderr);
  return code == kExitOk ? kExitFailed : code;
}

}  // namespace
}  // namespace rwkvd

int main(int argc, char** argv) {
  rwkvd::OccupyStandardDescriptors();
  rwkvd::InstallFailureHandlers("rwkvctl", argv[0]);
  return rwkvd::CheckOutput(rwkvd::Main({argv + 1, argv + argc}));
}
