// SPDX-License-Identifier: Apache-2.0
// Compiled alone, since a build can define RWKVD_COMMIT for this file:
//   --per_file_copt=service/build_info.cc@-DRWKVD_COMMIT=abc
#include "service/build_info.h"

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>
#include <microhttpd.h>
#include <openssl/crypto.h>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "cli/version.h"

#ifndef RWKVD_COMMIT
#define RWKVD_COMMIT unknown
#endif
#define RWKVD_TEXT_OF_VALUE(value) #value
#define RWKVD_TEXT_OF(macro) RWKVD_TEXT_OF_VALUE(macro)

namespace rwkvd {

std::string BuildInfo() {
  return absl::StrCat(
      "rwkvd ", kVersion, "\ncommit ", RWKVD_TEXT_OF(RWKVD_COMMIT), "\ngRPC ",
      grpc::Version(), "\nprotobuf ",
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION),
      "\nAbseil ", ABSL_LTS_RELEASE_VERSION, "\n",
      OpenSSL_version(OPENSSL_VERSION), "\nlibmicrohttpd ", MHD_get_version(),
      "\n");
}

}  // namespace rwkvd
