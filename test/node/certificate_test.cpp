// Nodes and clients over mutual TLS: who has a certificate is served, and nobody else gets as far as CAF.
#include "../store/temporary_folder.hpp"
#include "node_process.hpp"
#include "raw_connection.hpp"
#include "relay.hpp"

#include <maestro/runtime/certificates.hpp>
#include <maestro/runtime/tls.hpp>

#include <boost/test/unit_test.hpp>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

const auto alice = derive_aggregate_id("account", "alice");

auto content(const std::string& path) -> std::string {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// An authority with a node's and a client's certificate.
class authority {
 public:
  authority() {
    certificate_options options;
    options.folder = folder_.path("ca");
    const auto made = make_certificates(options);
    BOOST_TEST_REQUIRE(made.has_value(), (made ? "" : to_string(made.failure())));
  }
  [[nodiscard]] auto file(const std::string& name) const -> std::string { return folder_.path("ca/" + name); }
  [[nodiscard]] auto of(const std::string& name) const -> tls_settings { return {file(name + ".crt"), file(name + ".key"), file("ca.crt")}; }
  /// Node settings for the command line.
  [[nodiscard]] auto arguments(const std::string& name = "node") const -> std::vector<std::string> {
    return {"--tls.certificate-file=" + file(name + ".crt"), "--tls.key-file=" + file(name + ".key"), "--tls.ca-file=" + file("ca.crt")};
  }

 private:
  temporary_folder folder_;
};

// A node that takes TLS only, and a client of it whose connection must outlast everything that others do.
struct node_over_tls {
  node_over_tls() {
    must_be_answered("open", R"({"owner":"Alice","handle":"@alice"})");
  }
  ~node_over_tls() {
    must_be_answered("deposit", R"({"cents":1})");
    BOOST_TEST(node.end() == 0);
  }

  [[nodiscard]] auto connect(const tls_settings& tls) const -> result<std::unique_ptr<client>> {
    client_settings settings;
    settings.timeout = patience;
    settings.tls = tls;
    return client::connect(node.address(), settings);
  }
  [[nodiscard]] auto must_connect() const -> std::unique_ptr<client> {
    auto connected = connect(ours.of("client"));
    BOOST_TEST_REQUIRE(connected.has_value(), (connected ? "" : to_string(connected.failure())));
    return std::move(*connected);
  }
  // Without further attempts: a connection that was lost shows.
  void must_be_answered(const std::string& command, const std::string& payload) {
    send_options once;
    once.retry = false;
    const auto got = bystander->send_json("account", alice, command, payload, once);
    BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
  }
  void refuses(const tls_settings& tls, errc code, std::string_view word) {
    const auto connected = connect(tls);
    BOOST_TEST_REQUIRE(!connected.has_value());
    BOOST_TEST((connected.failure().code == code), to_string(connected.failure()));
    BOOST_TEST((connected.failure().message.find(word) != std::string::npos), connected.failure().message);
    must_be_answered("deposit", R"({"cents":1})");
  }

  const authority ours;
  node_process node{"sqlite::memory:", ours.arguments()};
  std::unique_ptr<client> bystander = must_connect();
};

// A certificate of `ours` whose extended key usage is as `usage` says, in OpenSSL's notation; empty: it has none. Its
// key is node.key.
auto reissued(const authority& ours, const std::string& path, const std::string& usage) -> tls_settings {
  const auto read = [](const std::string& file, auto* how) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(file.c_str(), "r"), std::fclose);
    return how(from.get(), nullptr, nullptr, nullptr);
  };
  const std::unique_ptr<X509, void (*)(X509*)> old(read(ours.file("node.crt"), PEM_read_X509), X509_free);
  const std::unique_ptr<X509, void (*)(X509*)> made(X509_dup(old.get()), X509_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> signer(read(ours.file("ca.key"), PEM_read_PrivateKey),
                                                              EVP_PKEY_free);
  const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> gone(
      X509_delete_ext(made.get(), X509_get_ext_by_NID(made.get(), NID_ext_key_usage, -1)), X509_EXTENSION_free);
  if (!usage.empty()) {
    const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> added(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_ext_key_usage, usage.c_str()), X509_EXTENSION_free);
    BOOST_TEST_REQUIRE(X509_add_ext(made.get(), added.get(), -1) == 1);
  }
  BOOST_TEST_REQUIRE(X509_sign(made.get(), signer.get(), EVP_sha256()) > 0);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> to(std::fopen(path.c_str(), "w"), std::fclose);
  BOOST_TEST_REQUIRE(PEM_write_X509(to.get(), made.get()) == 1);
  return {path, ours.file("node.key"), ours.file("ca.crt")};
}

// What a client with its own certificate says of one that shows `theirs` and waits for it as a node does.
auto connecting_to_one_with(const authority& ours, const tls_context_ptr& theirs) -> error {
  const listening_port pretends([&](const tcp_socket& taken) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    tls_session session(theirs, taken.descriptor(), tls_end::server);
    auto progress = tls_progress::wants_read;
    while (progress != tls_progress::done && progress != tls_progress::failed && taken.wait(true, until))
      progress = session.shake_hands();
  });
  client_settings settings;
  settings.timeout = patience;
  settings.tls = ours.of("client");
  const auto connected = client::connect(pretends.address(), settings);
  return connected ? error{} : connected.failure();
}

// A client's part, after which its certificate is judged.
void finish_handshake(tls_session& session, const tcp_socket& socket, std::chrono::steady_clock::time_point until) {
  for (auto progress = session.shake_hands(); progress != tls_progress::done; progress = session.shake_hands()) {
    BOOST_TEST_REQUIRE((progress != tls_progress::failed), session.reason());
    BOOST_TEST_REQUIRE(socket.wait(progress == tls_progress::wants_read, until));
  }
}

// A file with the certificates of both authorities, for a client that trusts the node of either.
void write_both(const std::string& path, const authority& one, const authority& other) {
  std::ofstream(path) << content(one.file("ca.crt")) << content(other.file("ca.crt"));
}

// Whether no thread of a process runs or wants to.
auto is_asleep(pid_t process) -> bool {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    const auto line = content((thread.path() / "stat").string());
    const auto name_end = line.rfind(')');
    if (name_end != line.npos && line.substr(name_end, 3) == ") R") return false;
  }
  return true;
}

// Whether it sleeps through several looks in a row, before `limit` is over. What is busy all the time never does.
auto falls_asleep(pid_t process, std::chrono::milliseconds limit) -> bool {
  constexpr int looks = 10;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (int asleep = 0; asleep < looks; asleep = is_asleep(process) ? asleep + 1 : 0) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(certificates)

BOOST_FIXTURE_TEST_CASE(who_has_a_certificate_is_served, node_over_tls) {
  const std::vector<std::string> get{"account", "name:alice", "--tls-certificate", ours.file("client.crt"), "--tls-key",
                                     ours.file("client.key"), "--tls-ca", ours.file("ca.crt")};
  const auto got = node.maestro("get", get);
  BOOST_TEST(got.status == 0, got.errors);
  BOOST_TEST((got.out.find("Alice") != std::string::npos), got.out);
  // A message of many records, there and back.
  send_options large;
  large.metadata = "{\"note\":\"" + std::string(900'000, 'x') + "\"}";
  large.returns = return_mode::events;
  const auto answer = bystander->send_json("account", alice, "deposit", R"({"cents":5})", large).answer;
  BOOST_TEST_REQUIRE(!answer.failure, to_string(answer.failure));
  BOOST_TEST(answer.events.at(0).metadata.size() >= 900'000U);
}

BOOST_FIXTURE_TEST_CASE(a_client_without_tls_is_told_what_it_needs, node_over_tls) {
  refuses({}, errc::node_unavailable, "over TLS only");
  const auto got = node.maestro("get", {"account", "name:alice"});
  BOOST_TEST(got.status == 4);
  BOOST_TEST((got.errors.find("over TLS only") != std::string::npos), got.errors);
}

BOOST_FIXTURE_TEST_CASE(who_shows_no_certificate_is_refused, node_over_tls) {
  const auto until = std::chrono::steady_clock::now() + patience;
  const auto socket = connect_tcp(node.address().host, node.address().port, until);
  BOOST_TEST_REQUIRE(socket.has_value());
  tls_session session(tls_context::anonymous(), socket->descriptor(), tls_end::client);
  finish_handshake(session, *socket, until);
  // The node says nothing before it has seen a certificate.
  std::string buffer(1000, '\0');
  std::size_t got = 0;
  auto progress = session.read(buffer.data(), buffer.size(), got);
  while (progress == tls_progress::wants_read && socket->wait(true, until)) progress = session.read(buffer.data(), buffer.size(), got);
  BOOST_TEST((progress == tls_progress::failed));
  BOOST_TEST(session.reason() == "it asks for a certificate, and was shown none");
}

BOOST_FIXTURE_TEST_CASE(a_certificate_of_another_authority_is_refused, node_over_tls) {
  const authority theirs;
  // It trusts both authorities, so that all is well on its own side.
  const temporary_folder folder;
  write_both(folder.path("both.crt"), ours, theirs);
  refuses({theirs.file("client.crt"), theirs.file("client.key"), folder.path("both.crt")}, errc::node_unavailable,
          "it does not accept our certificate");
  refuses({theirs.file("node.crt"), theirs.file("node.key"), folder.path("both.crt")}, errc::node_unavailable,
          "it does not accept our certificate");
  // Nor does its owner take this node for one of theirs.
  refuses(theirs.of("client"), errc::node_unavailable, "its certificate is not one that we accept");
}

// A client is done with its handshake before its certificate is judged, and may be writing by then: the refusal, and the reset that
// follows it, have come before its next words go out.
BOOST_AUTO_TEST_CASE(who_writes_into_a_refusal_is_told_the_reason) {
  const authority ours;
  const authority theirs;
  const temporary_folder folder;
  write_both(folder.path("both.crt"), ours, theirs);
  const auto node = tls_context::load(ours.of("node"), tls_end::server);
  const auto client = tls_context::load({theirs.file("client.crt"), theirs.file("client.key"), folder.path("both.crt")}, tls_end::client);
  BOOST_TEST_REQUIRE((node.has_value() && client.has_value()));
  // One that is judged in the midst of the handshake has written nothing: then it is tried again.
  for (bool has_written = false; !has_written;) {
    const auto until = std::chrono::steady_clock::now() + patience;
    std::atomic<bool> is_refused{false};
    std::promise<void> done;
    const auto is_done = done.get_future().share();
    const listening_port judges([&](const tcp_socket& taken) {
      tls_session session(*node, taken.descriptor(), tls_end::server);
      auto progress = tls_progress::wants_read;
      while (progress != tls_progress::done && progress != tls_progress::failed && taken.wait(true, until)) {
        progress = session.shake_hands();
        if (progress == tls_progress::wants_read) (void)is_done.wait_until(until);
      }
      is_refused = progress == tls_progress::failed;
    });
    const auto socket = connect_tcp(judges.address().host, judges.address().port, until);
    BOOST_TEST_REQUIRE(socket.has_value());
    tls_session session(*client, socket->descriptor(), tls_end::client);
    finish_handshake(session, *socket, until);
    std::size_t taken = 0;
    has_written = session.write("first words", 11, taken) == tls_progress::done;
    done.set_value();
    if (has_written) {
      pollfd reset{socket->descriptor(), 0, 0};
      BOOST_TEST_REQUIRE(::poll(&reset, 1, static_cast<int>(milliseconds_until(until).count())) == 1);
      BOOST_TEST((session.write("next words!", 11, taken) == tls_progress::failed));
    }
    BOOST_TEST((session.reason().find("it does not accept our certificate") != std::string::npos), session.reason());
    BOOST_TEST(is_refused);
  }
}

BOOST_FIXTURE_TEST_CASE(who_does_not_speak_tls_is_hung_up_and_nobody_else_notices, node_over_tls) {
  for (const auto& bytes : {std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), std::string(64, '\xff'), std::string(64, '\0'),
                            basp_header(1, 0), basp_header(0, 0, 4), basp_header(1, 0xffff'ffff),
                            // A record of TLS that begins a handshake, and holds none.
                            std::string("\x16\x03\x01\x00\x05hello", 10)}) {
    raw_connection stranger(node.address());
    stranger.send(bytes);
    BOOST_TEST(stranger.is_hung_up());
    must_be_answered("deposit", R"({"cents":1})");
  }
  BOOST_TEST((node.child().errors().find("Segmentation") == std::string::npos));
}

// CAF's own TLS would try to write to them all the time.
BOOST_FIXTURE_TEST_CASE(who_says_nothing_costs_no_processor_time, node_over_tls) {
  std::deque<raw_connection> silent;
  for (int i = 0; i < 20; ++i) silent.emplace_back(node.address());
  silent.front().send(std::string("\x16\x03\x01\x02\x00\x01", 6));  // Begins, and does not go on.
  must_be_answered("deposit", R"({"cents":1})");
  BOOST_TEST(falls_asleep(node.child().pid(), patience));
  const process busy({"/bin/sh", "-c", "while :; do :; done"});
  BOOST_TEST(!falls_asleep(busy.pid(), std::chrono::milliseconds(200)));
}

// A client's certificate does not stand for a node.
BOOST_AUTO_TEST_CASE(a_client_does_not_take_another_client_for_a_node) {
  const authority ours;
  const auto as_client = tls_context::load(ours.of("client"), tls_end::client);
  BOOST_TEST_REQUIRE(as_client.has_value());
  const auto failure = connecting_to_one_with(ours, *as_client);
  BOOST_TEST((failure.message.find("its certificate is not one that we accept") != std::string::npos), failure.message);
}

BOOST_AUTO_TEST_CASE(a_certificate_that_does_not_say_so_stands_for_no_node) {
  const authority ours;
  const temporary_folder folder;
  for (const std::string usage : {"", "anyExtendedKeyUsage,clientAuth", "codeSigning,clientAuth"}) {
    const auto files = reissued(ours, folder.path("other.crt"), usage);
    // At its own start ...
    const auto ended = run(node_process::command(
        "sqlite::memory:", {"--tls.certificate-file=" + files.certificate_file, "--tls.key-file=" + files.key_file,
                            "--tls.ca-file=" + files.ca_file}));
    BOOST_TEST(ended.status == 2, ended.errors);
    BOOST_TEST((ended.errors.find("has to name serverAuth") != std::string::npos), ended.errors);
    // ... and by those that connect to it, should it be a program of another make.
    const auto theirs = tls_context::load(files, tls_end::client);
    BOOST_TEST_REQUIRE(theirs.has_value(), (theirs ? "" : to_string(theirs.failure())));
    const auto failure = connecting_to_one_with(ours, *theirs);
    BOOST_TEST((failure.message.find("its certificate is not one that we accept") != std::string::npos),
               usage << ": " << failure.message);
  }
  // The others still do.
  const auto files = reissued(ours, folder.path("other.crt"), "serverAuth,clientAuth");
  node_process node("sqlite::memory:", {"--tls.certificate-file=" + files.certificate_file,
                                        "--tls.key-file=" + files.key_file, "--tls.ca-file=" + files.ca_file});
  client_settings settings;
  settings.timeout = patience;
  settings.tls = ours.of("client");
  BOOST_TEST(client::connect(node.address(), settings).has_value());
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(a_key_that_everyone_can_read_is_a_warning) {
  const authority ours;
  for (const auto& [mode, warned] : {std::pair<mode_t, bool>{0600, false}, {0640, false}, {0644, true}, {0602, true}}) {
    BOOST_TEST_REQUIRE(::chmod(ours.file("node.key").c_str(), mode) == 0);
    auto more = ours.arguments();
    more.push_back("--log.level=warn");
    node_process node("sqlite::memory:", more);
    BOOST_TEST(node.end() == 0);
    BOOST_TEST((node.child().errors().find("chmod 600") != std::string::npos) == warned,
               mode << ": " << node.child().errors());
  }
}

BOOST_AUTO_TEST_CASE(a_client_with_a_certificate_is_told_that_the_node_speaks_plain_tcp) {
  const authority ours;
  node_process node("sqlite::memory:");
  client_settings settings;
  settings.timeout = patience;
  settings.tls = ours.of("client");
  const auto connected = client::connect(node.address(), settings);
  BOOST_TEST_REQUIRE(!connected.has_value());
  BOOST_TEST((connected.failure().message.find("does not speak TLS") != std::string::npos), connected.failure().message);
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(files_that_cannot_be_used_are_refused_at_start_by_name) {
  const authority ours;
  const authority theirs;
  const temporary_folder folder;
  const auto encrypted = folder.path("encrypted.key");
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::fopen(ours.file("node.key").c_str(), "r"), std::fclose);
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(PEM_read_PrivateKey(from.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> to(std::fopen(encrypted.c_str(), "w"), std::fclose);
    std::string password = "secret";
    BOOST_TEST_REQUIRE(PEM_write_PrivateKey(to.get(), key.get(), EVP_aes_256_cbc(), reinterpret_cast<unsigned char*>(password.data()),
                                            static_cast<int>(password.size()), nullptr, nullptr) == 1);
  }
  const auto refused = [&](const std::string& certificate, const std::string& key, const std::string& ca, std::string_view word) {
    const auto ended = run(node_process::command("sqlite::memory:", {"--tls.certificate-file=" + certificate, "--tls.key-file=" + key,
                                                                     "--tls.ca-file=" + ca}));
    BOOST_TEST(ended.status == 2);
    BOOST_TEST((ended.errors.find(word) != std::string::npos), ended.errors << " does not say " << word);
    BOOST_TEST(ended.errors.find("secret") == std::string::npos);
  };
  const auto crt = ours.file("node.crt"), key = ours.file("node.key"), ca = ours.file("ca.crt");
  refused(folder.path("none.crt"), key, ca, "none.crt cannot be read: No such file or directory");
  refused(crt, folder.path("none.key"), ca, "none.key cannot be read: No such file or directory");
  refused(crt, key, folder.path("none.crt"), "none.crt cannot be read: No such file or directory");
  refused(key, key, ca, "node.key holds no certificate");
  refused(crt, crt, ca, "node.crt holds no private key");
  refused(crt, key, key, "node.key holds no certificate");
  refused(crt, ours.file("client.key"), ca, "client.key does not belong to the certificate");
  refused(crt, encrypted, ca, "encrypted.key is encrypted");
  refused(crt, key, theirs.file("ca.crt"), "cannot be used with the authorities");
  refused(ours.file("client.crt"), ours.file("client.key"), ca, "is for clients only");
  const auto incomplete = run(node_process::command("sqlite::memory:", {"--tls.certificate-file=" + crt, "--tls.ca-file=" + ca}));
  BOOST_TEST(incomplete.status == 2);
  BOOST_TEST((incomplete.errors.find("key's file is not set") != std::string::npos), incomplete.errors);
  // A client says the same.
  const auto client_ended = run({MAESTRO_COMMAND, "get", "account", "name:alice", "--tls-certificate", crt, "--tls-key", key});
  BOOST_TEST(client_ended.status == 2);
  BOOST_TEST((client_ended.errors.find("authority's file is not set") != std::string::npos), client_ended.errors);
}

BOOST_AUTO_TEST_SUITE_END()
