// SPDX-License-Identifier: Apache-2.0
#include "service/options/options.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rwkvd {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// Each test starts with the default values of the flags.
class OptionsTest : public ::testing::Test {
 protected:
  static std::string ErrorOf(const std::vector<std::string>& args) {
    absl::FlagSaver saver;
    const auto options = ParseOptions(args);
    return options.ok() ? "" : std::string(options.status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(OptionsTest, DefaultsNeedOnlyTheModel) {
  const auto options = ParseOptions({"--model=m"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model, "m");
  EXPECT_EQ(options->group_norm_epsilon, 64e-5f);
  EXPECT_EQ(options->weights, WeightKind::kAsStored);
  EXPECT_EQ(options->activations, ActivationKind::kAuto);
  EXPECT_TRUE(options->initial_states.empty());
  EXPECT_EQ(options->default_initial_state, "model");
  EXPECT_FALSE(options->preload);
  EXPECT_EQ(options->listen, "127.0.0.1:50051");
  EXPECT_EQ(options->metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(options->drain_grace, absl::Seconds(20));
  EXPECT_EQ(options->unread_timeout, absl::Minutes(1));
  EXPECT_EQ(options->stream_idle_timeout, absl::Minutes(1));
  EXPECT_EQ(options->max_message_bytes, 16 << 20);
}

TEST_F(OptionsTest, LogIsTextWithALinePerCallByDefault) {
  const auto defaults = ParseOptions({"--model=m"});
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_EQ(defaults->log_level, "info");
  EXPECT_EQ(defaults->log_format, LogFormat::kText);
  EXPECT_TRUE(defaults->access_log);
  EXPECT_EQ(defaults->otlp_endpoint, "");
  EXPECT_THAT(ErrorOf({"--model=m", "--otlp_endpoint=http://x"}),
              HasSubstr("--otlp_endpoint: "));
  const auto options =
      ParseOptions({"--model=m", "--log_format=json", "--noaccess_log"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->log_format, LogFormat::kJson);
  EXPECT_FALSE(options->access_log);
  EXPECT_EQ(ErrorOf({"--model=m", "--log_format=xml"}),
            "--log_format: \"xml\" is not text or json");
}

TEST_F(OptionsTest, NamesTheGivenFlags) {
  const auto options =
      ParseOptions({"--model", "m", "--nopreload", "--max_running=64"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->given_flags,
              UnorderedElementsAre("model", "preload", "max_running"));
}

TEST_F(OptionsTest, MemoryLimitHasUnits) {
  const struct {
    const char* text;
    int64_t bytes;
  } cases[] = {
      {"0", 0},          {"200", 200 << 20}, {"200MiB", 200 << 20},
      {"5KiB", 5 << 10}, {"7B", 7},          {"3GiB", int64_t{3} << 30}};
  for (const auto& c : cases) {
    absl::FlagSaver saver;
    const auto options =
        ParseOptions({"--model=m", std::string("--memory_limit=") + c.text});
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->memory_limit_bytes, c.bytes) << c.text;
  }
  for (const char* text : {"", "MiB", "-1", "1.5GiB", "5MB", "5 MiB", "5TiB",
                           "9999999999GiB", "99999999999999999999"}) {
    EXPECT_THAT(ErrorOf({"--model=m", std::string("--memory_limit=") + text}),
                HasSubstr("--memory_limit: "))
        << text;
  }
}

TEST_F(OptionsTest, FlagsSetTheirFields) {
  const auto options = ParseOptions({"--model",
                                     "m",
                                     "--tokenizer=t",
                                     "--allow_tokenizer_mismatch",
                                     "--chat_template=raven",
                                     "--share_dir=v",
                                     "--model_name=n",
                                     "--listen=unix:/s",
                                     "--metrics_listen=",
                                     "--threads=3",
                                     "--max_running=5",
                                     "--max_queued=6",
                                     "--max_step_tokens=7",
                                     "--max_queue_time=15s",
                                     "--max_total_tokens=170",
                                     "--max_decode_slowdown=1.25",
                                     "--max_prompt_tokens=8",
                                     "--max_draft_tokens=5",
                                     "--max_generated_tokens=9",
                                     "--state_cache_mib=10",
                                     "--drain_grace=11s",
                                     "--unread_timeout=12s",
                                     "--stream_idle_timeout=inf",
                                     "--lame_duck=12ms",
                                     "--max_message_mib=13",
                                     "--port_file=p",
                                     "--health_listen=h:1",
                                     "--insecure",
                                     "--unix_socket_mode=0640",
                                     "--tls_cert=c",
                                     "--tls_key=k",
                                     "--tls_client_ca=a",
                                     "--metrics_tls",
                                     "--metrics_token_file=f",
                                     "--max_connections=20",
                                     "--max_connections_per_peer=21",
                                     "--max_streams_per_connection=22",
                                     "--noreflection",
                                     "--log_level=debug",
                                     "--group_norm_epsilon=1e-5",
                                     "--weights=int4,mixed",
                                     "--activations=f32",
                                     "--preload",
                                     "--state_cache_interval=14",
                                     "--pinned_states_mib=15",
                                     "--max_pinned_states=16",
                                     "--state_dir=d",
                                     "--state_store_mib=17",
                                     "--state_ttl=18s",
                                     "--max_pending_states_mib=19"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->model, "m");
  EXPECT_EQ(options->tokenizer, "t");
  EXPECT_TRUE(options->allow_tokenizer_mismatch);
  EXPECT_EQ(options->chat_template, "raven");
  EXPECT_EQ(options->share_dir, "v");
  EXPECT_EQ(options->model_name, "n");
  EXPECT_EQ(options->listen, "unix:/s");
  EXPECT_EQ(options->metrics_listen, "");
  EXPECT_EQ(options->threads, 3);
  EXPECT_EQ(options->engine.max_running, 5);
  EXPECT_EQ(options->engine.max_queued, 6);
  EXPECT_EQ(options->engine.max_step_tokens, 7);
  EXPECT_EQ(options->engine.max_queue_time, absl::Seconds(15));
  EXPECT_EQ(options->engine.max_total_tokens, 170);
  EXPECT_EQ(options->engine.max_decode_slowdown, 1.25);
  EXPECT_EQ(options->engine.max_prompt_tokens, 8);
  EXPECT_EQ(options->engine.max_draft_tokens, 5);
  EXPECT_EQ(options->engine.max_generated_tokens, 9);
  EXPECT_EQ(options->engine.state_cache_bytes, 10 << 20);
  EXPECT_EQ(options->drain_grace, absl::Seconds(11));
  EXPECT_EQ(options->unread_timeout, absl::Seconds(12));
  EXPECT_EQ(options->stream_idle_timeout, absl::InfiniteDuration());
  EXPECT_EQ(options->lame_duck, absl::Milliseconds(12));
  EXPECT_EQ(options->max_message_bytes, 13 << 20);
  EXPECT_EQ(options->port_file, "p");
  EXPECT_EQ(options->health_listen, "h:1");
  EXPECT_TRUE(options->insecure);
  EXPECT_EQ(options->unix_socket_mode, 0640);
  EXPECT_TRUE(options->has_tls());
  EXPECT_EQ(options->tls_cert, "c");
  EXPECT_EQ(options->tls_key, "k");
  EXPECT_EQ(options->tls_client_ca, "a");
  EXPECT_TRUE(options->metrics_tls);
  EXPECT_EQ(options->metrics_token_file, "f");
  EXPECT_EQ(options->max_connections, 20);
  EXPECT_EQ(options->max_connections_per_peer, 21);
  EXPECT_EQ(options->max_streams_per_connection, 22);
  EXPECT_FALSE(options->reflection);
  EXPECT_EQ(options->log_level, "debug");
  EXPECT_EQ(options->group_norm_epsilon, 1e-5f);
  EXPECT_EQ(options->weights, WeightKind::kInt4Mixed);
  EXPECT_EQ(options->activations, ActivationKind::kF32);
  EXPECT_TRUE(options->preload);
  EXPECT_EQ(options->engine.state_cache_interval, 14);
  EXPECT_EQ(options->engine.max_pinned_bytes, 15 << 20);
  EXPECT_EQ(options->engine.max_pinned, 16);
  EXPECT_EQ(options->state_dir, "d");
  EXPECT_EQ(options->state_store_bytes, 17 << 20);
  EXPECT_EQ(options->state_ttl, absl::Seconds(18));
  EXPECT_EQ(options->max_pending_states_bytes, 19 << 20);
}

TEST_F(OptionsTest, StateStoreHasAnAddressAndAccess) {
  const auto options =
      ParseOptions({"--model=m", "--state_store=rediss://redis.example:6380/3",
                    "--state_store_user=u", "--state_store_password_file=p",
                    "--state_store_ca=a", "--state_store_cert=c",
                    "--state_store_key=k", "--state_store_server_name=n",
                    "--state_store_prefix=x:y", "--state_store_timeout=2s"});
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_TRUE(options->state_store.has_value());
  EXPECT_FALSE(options->saves_states_in_memory());
  const RedisOptions& store = *options->state_store;
  EXPECT_EQ(store.address(), "redis.example:6380");
  EXPECT_EQ(store.database, 3);
  EXPECT_TRUE(store.has_tls);
  EXPECT_EQ(store.user, "u");
  EXPECT_EQ(store.password_file, "p");
  EXPECT_EQ(store.ca, "a");
  EXPECT_EQ(store.cert, "c");
  EXPECT_EQ(store.key, "k");
  EXPECT_EQ(store.server_name, "n");
  EXPECT_EQ(store.prefix, "x:y");
  EXPECT_EQ(store.timeout, absl::Seconds(2));
}

TEST_F(OptionsTest, StateStoreHasThreeForms) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"redis://h", "h:6379"},
      {"redis://10.0.0.1:1/9999", "10.0.0.1:1"},
      {"redis://[::1]:7", "[::1]:7"},
      {"rediss://[::1]/0", "[::1]:6379"},
      {"redis+unix:/run/redis.sock", "unix:/run/redis.sock"}};
  for (const auto& [url, address] : cases) {
    const auto options = ParseOptions({"--model=m", "--state_store=" + url});
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->state_store->address(), address);
    EXPECT_EQ(options->state_store->has_tls, url.find("rediss") == 0);
  }
  for (const char* url :
       {"h", "http://h", "redis://", "redis:///1", "redis://h:", "redis://h:0",
        "redis://h:65536", "redis://h:+1", "redis://h/", "redis://h/x",
        "redis://h/10000", "redis://h/1/2", "redis://[::1", "redis://[::1]x",
        "redis://h h", "redis://h?db=1", "redis+unix:", "REDIS://h"}) {
    const std::string flag = std::string("--state_store=") + url;
    EXPECT_THAT(ErrorOf({"--model=m", flag}),
                HasSubstr("--state_store: expected redis://HOST"))
        << url;
  }
}

TEST_F(OptionsTest, PasswordOnTheCommandLineIsRefusedAndNotRepeated) {
  for (const char* url : {"redis://:hunter2@h", "rediss://u:hunter2@h:1/2",
                          "redis://hunter2@h", "hunter2@h"}) {
    const std::string error =
        ErrorOf({"--model=m", std::string("--state_store=") + url});
    EXPECT_THAT(error, HasSubstr("--state_store_password_file"));
    EXPECT_EQ(error.find("hunter2"), std::string::npos) << error;
  }
}

TEST_F(OptionsTest, ActivationsHaveThreeKinds) {
  for (const ActivationKind kind : kActivationKinds) {
    const auto options = ParseOptions(
        {"--model=m", absl::StrCat("--activations=", NameOf(kind))});
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->activations, kind);
  }
}

TEST_F(OptionsTest, InitialStatesKeepTheirNamesAndOrder) {
  const auto options = ParseOptions(
      {"--model=m", "--initial_state=b-1=dir/x=y,z.pth",
       "--default_initial_state=a.B_2", "--initial_state", "a.B_2=s"});
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->initial_states.size(), 2);
  EXPECT_EQ(options->initial_states[0].name, "b-1");
  EXPECT_EQ(options->initial_states[0].path, "dir/x=y,z.pth");
  EXPECT_EQ(options->initial_states[1].name, "a.B_2");
  EXPECT_EQ(options->initial_states[1].path, "s");
  EXPECT_EQ(options->default_initial_state, "a.B_2");
}

TEST_F(OptionsTest, StateNamesHaveAtMost64Bytes) {
  const std::string longest(64, 'x');
  EXPECT_EQ(ErrorOf({"--model=m", "--initial_state=" + longest + "=p"}), "");
  EXPECT_THAT(ErrorOf({"--model=m", "--initial_state=x" + longest + "=p"}),
              HasSubstr("--initial_state"));
}

TEST_F(OptionsTest, ErrorsAreOneLineWithTheFlag) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{}, "--model"},
      {{"--modle=m"}, "unknown flag --modle"},
      {{"--model=m", "--threads=x"}, "--threads"},
      {{"--model=m", "--threads=-1"}, "--threads: -1"},
      {{"--model=m", "--threads"}, "--threads: the value is missing"},
      {{"--model=m", "stray"}, "stray"},
      {{"--model=m", "--isa=abacus"}, "--isa"},
      {{"--model=m", "--listen=50051"}, "--listen"},
      {{"--model=m", "--listen=:50051"}, "--listen"},
      {{"--model=m", "--listen=h:70000"}, "--listen"},
      {{"--model=m", "--metrics_listen=h"}, "--metrics_listen"},
      {{"--model=m", "--health_listen=h"}, "--health_listen"},
      {{"--model=m", "--unix_socket_mode=0800"}, "--unix_socket_mode"},
      {{"--model=m", "--unix_socket_mode=01777"}, "--unix_socket_mode"},
      {{"--model=m", "--unix_socket_mode=-1"}, "--unix_socket_mode"},
      {{"--model=m", "--tls_cert=c"}, "--tls_cert: needs --tls_key"},
      {{"--model=m", "--tls_key=k"}, "--tls_key: needs --tls_cert"},
      {{"--model=m", "--tls_client_ca=a"}, "--tls_client_ca: needs"},
      {{"--model=m", "--metrics_tls"}, "--metrics_tls: needs"},
      {{"--model=m", "--listen=::1:50051"}, "--listen"},
      {{"--model=m", "--max_connections=-1"}, "--max_connections: -1"},
      {{"--model=m", "--max_connections_per_peer=-1"},
       "--max_connections_per_peer: -1"},
      {{"--model=m", "--max_streams_per_connection=0"},
       "--max_streams_per_connection: 0"},
      {{"--model=m", "--model_name=\xff"}, "--model_name: \"\\xff\" is not"},
      {{"--model=\xff"}, "--model: \"\\xff\" is not UTF-8"},
      {{"--model=m", "--max_running=0"}, "--max_running"},
      {{"--model=m", "--initial_state=x"}, "--initial_state: \"x\" is not"},
      {{"--model=m", "--initial_state=x="}, "--initial_state: \"x=\" is not"},
      {{"--model=m", "--initial_state="}, "--initial_state"},
      {{"--model=m", "--initial_state==p"}, "--initial_state: the name \"\""},
      {{"--model=m", "--initial_state=a b=p"}, "the name \"a b\""},
      {{"--model=m", "--initial_state=\xc3\xa9=p"}, "--initial_state"},
      {{"--model=m", "--initial_state=x=p", "--initial_state=x=q"},
       "two are named \"x\""},
      {{"--model=m", "--initial_state=x=p", "--default_initial_state=y"},
       "--default_initial_state: \"y\""},
      {{"--model=m", "--default_initial_state="},
       "--default_initial_state: \"\""},
      {{"--model=m", "--initial_state=model=p"},
       "--initial_state: \"model\" is the model's own"},
      {{"--model=m", "--weights=int5"}, "--weights: \"int5\" is not"},
      {{"--model=m", "--activations=f16"}, "\"f16\" is not auto, int8 or f32"},
      {{"--model=m", "--group_norm_epsilon=0"}, "--group_norm_epsilon: 0"},
      {{"--model=m", "--group_norm_epsilon=-1"}, "--group_norm_epsilon"},
      {{"--model=m", "--group_norm_epsilon=1.5"}, "--group_norm_epsilon"},
      {{"--model=m", "--group_norm_epsilon=nan"}, "--group_norm_epsilon"},
      {{"--model=m", "--preload=maybe"}, "--preload"},
      {{"--model=m", "--max_queued=0"}, "--max_queued"},
      {{"--model=m", "--max_running=9", "--max_step_tokens=9"},
       "--max_step_tokens"},
      {{"--model=m", "--max_decode_slowdown=1"}, "--max_decode_slowdown: 1"},
      {{"--model=m", "--max_decode_slowdown=nan"}, "--max_decode_slowdown"},
      {{"--model=m", "--max_prompt_tokens=0"}, "--max_prompt_tokens"},
      {{"--model=m", "--max_draft_tokens=65"},
       "--max_draft_tokens: 65 is more than 64"},
      {{"--model=m", "--max_draft_tokens=-1"}, "--max_draft_tokens"},
      {{"--model=m", "--max_generated_tokens=0"}, "--max_generated_tokens"},
      {{"--model=m", "--max_queue_time=0"}, "--max_queue_time: 0"},
      {{"--model=m", "--max_prompt_tokens=9", "--max_generated_tokens=9",
        "--max_total_tokens=17"},
       "--max_total_tokens: 17 is less than 18"},
      {{"--model=m", "--max_running=5000"}, "--max_running: 5000 is more than"},
      {{"--model=m", "--max_queued=2000000"}, "--max_queued"},
      {{"--model=m", "--max_decode_slowdown=inf"}, "--max_decode_slowdown"},
      {{"--model=m", "--state_cache_mib=-1"}, "--state_cache_mib"},
      {{"--model=m", "--state_cache_interval=-1"}, "--state_cache_interval"},
      {{"--model=m", "--pinned_states_mib=-1"}, "--pinned_states_mib"},
      {{"--model=m", "--max_pinned_states=-1"}, "--max_pinned_states"},
      {{"--model=m", "--state_store_mib=-1"}, "--state_store_mib"},
      {{"--model=m", "--state_ttl=0s"}, "--state_ttl"},
      {{"--model=m", "--state_dir=d", "--state_store=redis://h"},
       "--state_store: cannot be combined with --state_dir"},
      {{"--model=m", "--state_store_user=u"}, "needs --state_store"},
      {{"--model=m", "--state_store=redis://h", "--state_store_user=u"},
       "--state_store_user: needs --state_store_password_file"},
      {{"--model=m", "--state_store=redis://h", "--state_store_ca=a"},
       "--state_store_ca: needs --state_store=rediss://"},
      {{"--model=m", "--state_store=rediss://h", "--state_store_cert=c"},
       "--state_store_cert: needs --state_store_key"},
      {{"--model=m", "--state_store=rediss://h", "--state_store_key=k"},
       "--state_store_key: needs --state_store_cert"},
      {{"--model=m", "--state_store=redis://h", "--state_store_prefix=a b"},
       "--state_store_prefix"},
      {{"--model=m", "--state_store=redis://h", "--state_store_timeout=0s"},
       "--state_store_timeout: 0 is not in"},
      {{"--model=m", "--max_pending_states_mib=-1"},
       "--max_pending_states_mib"},
      {{"--model=m", "--max_message_mib=0"}, "--max_message_mib"},
      {{"--model=m", "--drain_grace=-1s"}, "--drain_grace"},
      {{"--model=m", "--unread_timeout=0"}, "--unread_timeout: 0"},
      {{"--model=m", "--stream_idle_timeout=-1s"}, "--stream_idle_timeout"},
      {{"--model=m", "--drain_grace=inf"}, "--drain_grace"},
      {{"--model=m", "--lame_duck=soon"}, "--lame_duck"},
      {{"--model=m", "--log_level=loud"}, "--log_level"},
      // The flags of Abseil are not accepted.
      {{"--model=m", "--flagfile=f"}, "unknown flag --flagfile"},
  };
  for (const auto& [args, expected] : cases) {
    const std::string error = ErrorOf(args);
    EXPECT_THAT(error, HasSubstr(expected));
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST_F(OptionsTest, HelpAndVersionNeedNoModel) {
  EXPECT_TRUE(ParseOptions({"--help"})->help);
  EXPECT_TRUE(ParseOptions({"-h"})->help);
  EXPECT_TRUE(ParseOptions({"--version"})->version);
}

TEST_F(OptionsTest, HelpListsOnlyFlagsOfTheServer) {
  const std::string help = OptionsHelp();
  for (const char* flag : {"--model\n", "--listen\n", "--drain_grace\n"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
  EXPECT_EQ(help.find("flagfile"), std::string::npos);
}

}  // namespace
}  // namespace rwkvd
