// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_FAILURE_HANDLERS_H_
#define RWKVD_CLI_FAILURE_HANDLERS_H_

namespace rwkvd {

// Decides how the process ends when it cannot continue:
//  - An exception that nothing catches, because there is no memory or no thread
//    left: one line "PROGRAM: REASON" on standard error, exit code 1.
//  - abort() of a library that got no memory: the same.
//  - A fatal signal (SIGSEGV, SIGABRT, ...), which is a mistake of ours: a
//    trace of the stack on standard error, then the default action of the
//    signal. A second failure, while the first one is reported, ends the
//    process immediately.
//
// Called once, by main, before any thread starts. `program` is the name of the
// program, and `argv0` the path that it was started with; both outlive the
// process.
void InstallFailureHandlers(const char* program, const char* argv0);

}  // namespace rwkvd

#endif  // RWKVD_CLI_FAILURE_HANDLERS_H_
