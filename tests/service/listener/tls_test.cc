// SPDX-License-Identifier: Apache-2.0
// A gRPC server with TLS behind a Listener.

#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "service/listener/listener.h"
#include "service/listener/tls_credentials.h"
#include "tests/service/listener/http2_frames.h"
#include "tests/service/listener/short_folder.h"
#include "tests/service/listener/test_certificates.h"

namespace rwkvd {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Records the names in the certificate of the last peer. Thread-safe.
class NamesService final : public Health::CallbackService {
 public:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const HealthCheckRequest*,
                                  HealthCheckResponse*) override {
    absl::MutexLock lock(&mutex_);
    names_.clear();
    for (const grpc::string_ref& name :
         context->auth_context()->GetPeerIdentity()) {
      names_.emplace_back(name.data(), name.size());
    }
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  std::vector<std::string> names() {
    absl::MutexLock lock(&mutex_);
    return names_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mutex_);
};

class TlsTest : public ::testing::Test {
 protected:
  ~TlsTest() override {
    listener_->Stop();
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
  }

  std::string Write(const std::string& name, const std::string& text) const {
    std::string path = absl::StrCat(folder_.path(), "/", name);
    std::ofstream(path) << text;
    return path;
  }

  void Serve(bool with_client_ca) {
    TlsPaths paths = {.cert = Write("cert", certificate_.cert),
                      .key = Write("key", certificate_.key)};
    if (with_client_ca) paths.client_ca = Write("ca", authority_.cert);
    store_ = *TlsKeyStore::Open(paths);
    listener_ = *Listener::Open("127.0.0.1:0", {.total = 100, .per_peer = 100});
    grpc::ServerBuilder builder;
    auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        NewTlsCredentials(store_.get()));
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ASSERT_TRUE(listener_->Start(std::move(acceptor), /*tls=*/true).ok());
  }

  // The status of a call over a new connection.
  grpc::Status Check(const TestCertificate& trusted,
                     const TestCertificate& own = {}) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel = grpc::CreateCustomChannel(
        listener_->address(),
        grpc::SslCredentials({.pem_root_certs = trusted.cert,
                              .pem_private_key = own.key,
                              .pem_cert_chain = own.cert}),
        arguments);
    grpc::ClientContext context;
    HealthCheckResponse response;
    return Health::NewStub(channel)->Check(&context, {}, &response);
  }

  const ShortFolder folder_;
  const TestCertificate authority_ = NewAuthority("authority");
  const TestCertificate stranger_ = NewAuthority("stranger");
  const TestCertificate certificate_ = NewCertificate(authority_);
  const TestCertificate client_ = NewCertificate(
      authority_,
      {.alternative_names = "DNS:alice.clients,URI:spiffe://a/alice"});
  NamesService service_;
  std::unique_ptr<TlsKeyStore> store_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(TlsTest, ClientsNeedNoCertificateWithoutClientAuthorities) {
  Serve(/*with_client_ca=*/false);
  const grpc::Status status = Check(authority_);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(service_.names(), IsEmpty());
  EXPECT_FALSE(Check(stranger_).ok());  // the client refuses the server
}

TEST_F(TlsTest, NamesOfVerifiedClientsAreKnown) {
  Serve(/*with_client_ca=*/true);
  const grpc::Status status = Check(authority_, client_);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(service_.names(),
              ElementsAre("alice.clients", "spiffe://a/alice"));
}

TEST_F(TlsTest, ClientsWithoutAValidCertificateAreRefused) {
  Serve(/*with_client_ca=*/true);
  EXPECT_FALSE(Check(authority_).ok());
  EXPECT_FALSE(Check(authority_, NewCertificate(stranger_)).ok());
  const absl::Time now = absl::Now();
  EXPECT_FALSE(Check(authority_,
                     NewCertificate(authority_, {.end = now - absl::Hours(1)}))
                   .ok());
  EXPECT_FALSE(
      Check(authority_,
            NewCertificate(authority_, {.begin = now + absl::Hours(1)}))
          .ok());
  EXPECT_FALSE(
      Check(authority_, NewCertificate(authority_, {.purposes = "serverAuth"}))
          .ok());
  EXPECT_TRUE(Check(authority_, client_).ok());
}

TEST_F(TlsTest, NewKeysAreUsedForNewConnections) {
  Serve(/*with_client_ca=*/true);
  ASSERT_TRUE(Check(authority_, client_).ok());
  const TestCertificate next = NewCertificate(stranger_);
  Write("cert", next.cert);
  store_->Reload();  // the key is that of the earlier certificate
  EXPECT_TRUE(Check(authority_, client_).ok());
  Write("key", next.key);
  Write("ca", stranger_.cert);
  ASSERT_TRUE(store_->Reload());
  EXPECT_TRUE(Check(stranger_, NewCertificate(stranger_)).ok());
  EXPECT_FALSE(Check(stranger_, client_).ok());  // not a client any more
}

// A client's end of a connection with TLS, without gRPC.
class RawTlsConnection {
 public:
  explicit RawTlsConnection(const std::string& address) {
    signal(SIGPIPE, SIG_IGN);  // BIO_write() to a closed connection raises it
    SSL_CTX_set_alpn_protos(context_,
                            reinterpret_cast<const unsigned char*>("\x2h2"), 3);
    connection_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(connection_, address.c_str());
    connected_ = BIO_do_handshake(connection_) == 1;
  }
  ~RawTlsConnection() {
    BIO_free_all(connection_);
    SSL_CTX_free(context_);
  }

  bool connected() const { return connected_; }
  bool Send(const std::string& bytes) {
    return BIO_write(connection_, bytes.data(),
                     static_cast<int>(bytes.size())) > 0;
  }

 private:
  SSL_CTX* const context_ = SSL_CTX_new(TLS_client_method());
  BIO* connection_ = nullptr;
  bool connected_ = false;
};

// The guards see the frames of HTTP/2 within TLS, and close the connection.
TEST_F(TlsTest, AbusesOfHttp2EndTheirConnectionOnly) {
  Serve(/*with_client_ca=*/false);
  RawTlsConnection half(listener_->address());
  ASSERT_TRUE(half.connected());
  const std::string begin =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2::Frame(http2::kSettings, 0, 0);
  const std::string call = http2::CallFields("/grpc.health.v1.Health/Check");
  // A message of 1000 bytes, of which 3 are sent.
  half.Send(begin + http2::Frame(http2::kHeaders, http2::kEndHeaders, 1, call) +
            http2::Frame(http2::kData, 0, 1,
                         std::string("\0\0\0\x03\xe8"
                                     "abc",
                                     8)));
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (listener_->message_bytes() < 3 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GE(listener_->message_bytes(), 3);

  RawTlsConnection endless(listener_->address());
  ASSERT_TRUE(endless.connected());
  // A field whose name has a length without an end.
  endless.Send(begin + http2::Frame(http2::kHeaders, 0, 1,
                                    call + std::string("\0\x7f\x80", 3)));
  while (endless.Send(
      http2::Frame(http2::kContinuation, 0, 1, std::string(1000, '\x80')))) {
  }
  EXPECT_EQ(listener_->num_closed(Http2Abuse::kHeaders), 1);
  EXPECT_TRUE(Check(authority_).ok());
}

}  // namespace
}  // namespace rwkvd
