// SPDX-License-Identifier: Apache-2.0
#ifndef RWKVD_SERVICE_LISTENER_OPENSSL_ERROR_H_
#define RWKVD_SERVICE_LISTENER_OPENSSL_ERROR_H_

#include <string>

namespace rwkvd {

// The last error of OpenSSL in this thread, a fixed text; clears its list of
// errors. Any thread.
std::string TakeOpenSslError();

}  // namespace rwkvd

#endif  // RWKVD_SERVICE_LISTENER_OPENSSL_ERROR_H_
