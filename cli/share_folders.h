// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_CLI_SHARE_FOLDERS_H_
#define RWKVD_CLI_SHARE_FOLDERS_H_

#include <string>
#include <vector>

namespace rwkvd {

// The folders in which a program looks for the vocabularies that are installed
// with it, in this order: `given` alone if it is not empty, otherwise
//  - ../share/rwkvd next to the folder of the program,
//  - .cache/share in the checkout that contains the program or the link to it
//    that was called, as in bazel-bin,
//  - /usr/share/rwkvd.
// They need not exist.
std::vector<std::string> ShareFolders(const std::string& given);

// The same for a program with this path that was called by this name.
std::vector<std::string> ShareFoldersOf(const std::string& program,
                                        const std::string& called_as);

}  // namespace rwkvd

#endif  // RWKVD_CLI_SHARE_FOLDERS_H_
