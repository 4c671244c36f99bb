// SPDX-License-Identifier: Apache-2.0
#include "service/listener/tls_filter.h"

#include <dlfcn.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/string_view.h"

namespace rwkvd {
namespace {

struct FilteredSession {
  SocketFilter filter;
  bool refused = false;  // used by the thread that receives
};

// The filter of the session that this thread is about to create.
thread_local std::unique_ptr<FilteredSession> next_session;

void DestroyFilter(void*, void* filter, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<FilteredSession*>(filter);
}

// Under which a session keeps its filter, which OpenSSL destroys with it.
int FilterIndex() {
  static const int index =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, &DestroyFilter);
  return index;
}

// Null if the session has no filter.
FilteredSession* FilterOf(const SSL* session) {
  return static_cast<FilteredSession*>(SSL_get_ex_data(session, FilterIndex()));
}

template <typename Function>
Function OpenSslFunction(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// What SSL_new() does in this program.
SSL* NewSession(SSL_CTX* context) {
  static const auto create = OpenSslFunction<SSL* (*)(SSL_CTX*)>("SSL_new");
  SSL* const session = create(context);
  if (session == nullptr || next_session == nullptr) return session;
  if (SSL_set_ex_data(session, FilterIndex(), next_session.get()) != 1) {
    SSL_free(session);
    return nullptr;  // no memory: the connection is closed
  }
  next_session.release();
  return session;
}

// What SSL_read() does in this program.
int ReadFiltered(SSL* session, void* buffer, int capacity) {
  static const auto read =
      OpenSslFunction<int (*)(SSL*, void*, int)>("SSL_read");
  FilteredSession* const filtered = FilterOf(session);
  if (filtered != nullptr && filtered->refused) return -1;
  const int size = read(session, buffer, capacity);
  if (filtered == nullptr || size <= 0) return size;
  filtered->refused = !filtered->filter.on_received(absl::string_view(
      static_cast<const char*>(buffer), static_cast<size_t>(size)));
  // To gRPC, this is a broken connection, which it closes.
  return filtered->refused ? -1 : size;
}

// What SSL_write() does in this program.
int WriteFiltered(SSL* session, const void* bytes, int size) {
  static const auto write =
      OpenSslFunction<int (*)(SSL*, const void*, int)>("SSL_write");
  const int written = write(session, bytes, size);
  FilteredSession* const filtered = written > 0 ? FilterOf(session) : nullptr;
  if (filtered != nullptr && filtered->filter.on_sent != nullptr) {
    filtered->filter.on_sent(absl::string_view(static_cast<const char*>(bytes),
                                               static_cast<size_t>(written)));
  }
  return written;
}

}  // namespace

bool FilterTlsSession(SocketFilter filter, absl::FunctionRef<void()> accept) {
  next_session =
      std::make_unique<FilteredSession>(FilteredSession{std::move(filter)});
  accept();
  return std::exchange(next_session, nullptr) == nullptr;
}

}  // namespace rwkvd

extern "C" SSL* SSL_new(SSL_CTX* context) { return rwkvd::NewSession(context); }

extern "C" int SSL_read(SSL* session, void* buffer, int capacity) {
  return rwkvd::ReadFiltered(session, buffer, capacity);
}

extern "C" int SSL_write(SSL* session, const void* bytes, int size) {
  return rwkvd::WriteFiltered(session, bytes, size);
}
