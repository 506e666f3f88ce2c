// The end of a node comes in time, whatever it waits for: a database that stands still, a lock, a file that nobody writes, a program that
// never returns. Real processes, on a server of the test's own.
#include "batch.hpp"
#include "node_process.hpp"

#include "account.hpp"

#include "../store/own_server.hpp"
#include "../store/temporary_folder.hpp"

#include <maestro/runtime/node.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

namespace {

// Sends `signal`, and says how the process ended; nothing when it did not in `limit`.
auto ends_within(process& child, std::chrono::milliseconds limit, int signal = SIGTERM) -> std::optional<int> {
  child.send_signal(signal);
  return child.wait(limit);
}

auto contains(const std::string& text, const std::string& part) -> bool { return text.find(part) != std::string::npos; }

// The server stands still, its connections up, for as long as this lives.
struct standstill {
  standstill() { own_server::get().freeze(); }
  ~standstill() { own_server::get().thaw(); }
  standstill(const standstill&) = delete;
  auto operator=(const standstill&) -> standstill& = delete;
};

// Takes connections and says nothing.
class mute_server {
 public:
  mute_server() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    BOOST_TEST_REQUIRE((::bind(socket_, generic, size) == 0 && ::listen(socket_, 8) == 0 && ::getsockname(socket_, generic, &size) == 0));
    port_ = ntohs(address.sin_port);
  }
  ~mute_server() { ::close(socket_); }
  mute_server(const mute_server&) = delete;
  auto operator=(const mute_server&) -> mute_server& = delete;

  [[nodiscard]] auto uri() const -> std::string {
    return "postgresql://someone@127.0.0.1:" + std::to_string(port_) + "/bank?sslmode=disable&gssencmode=disable";
  }
  void await_caller() const {
    pollfd waiting{socket_, POLLIN, 0};
    BOOST_TEST_REQUIRE(::poll(&waiting, 1, 30'000) == 1);
  }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

// A pipe for a log, with a reader that does not read.
class unread_pipe {
 public:
  unread_pipe() {
    BOOST_TEST_REQUIRE(::mkfifo(path().c_str(), 0600) == 0);
    both_ends_ = ::open(path().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    BOOST_TEST_REQUIRE(both_ends_ >= 0);
  }
  ~unread_pipe() { stop_reading(); }
  unread_pipe(const unread_pipe&) = delete;
  auto operator=(const unread_pipe&) -> unread_pipe& = delete;

  [[nodiscard]] auto path() const -> std::string { return folder_.path("log"); }
  /// Whoever writes more waits.
  void fill() const {
    const std::string some(512, 'x');
    while (::write(both_ends_, some.data(), some.size()) > 0) continue;
    while (::write(both_ends_, some.data(), 1) > 0) continue;
  }
  /// Whoever opens it waits.
  void stop_reading() {
    if (both_ends_ >= 0) ::close(both_ends_);
    both_ends_ = -1;
  }

 private:
  const temporary_folder folder_;
  int both_ends_ = -1;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(the_end_of_a_node)

// Of two signals that wait SIGHUP is taken first.
BOOST_AUTO_TEST_CASE(a_log_that_nothing_reads_keeps_no_signal_from_a_node) {
  for (const bool is_full : {true, false}) {
    unread_pipe log;
    node_process node("sqlite::memory:", {"--node.drain-timeout=100ms", "--log.level=info", "--log.file=" + log.path()});
    if (is_full) log.fill();
    else log.stop_reading();
    node.child().send_signal(SIGHUP);
    const auto status = ends_within(node.child(), 100ms + longest_end);
    BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
    // In a full pipe the line about the end has no place.
    BOOST_TEST((*status == (is_full ? 1 : 0)), *status << ": " << node.child().errors());
  }
}

BOOST_AUTO_TEST_CASE(a_start_that_ends_by_a_fault_of_our_own_is_a_failure) {
  for (const bool hangs : {false, true})
    for (const bool can_log : {true, false}) {
      const unread_pipe log;
      log.fill();
      std::vector<std::string> more;
      if (hangs) more.emplace_back("--node.name=hangs");
      if (!can_log) more.emplace_back("--log.file=" + log.path());
      process child(node_process::command("sqlite::memory:", more, {MAESTRO_FAULTY_NODE}));
      const auto status = child.wait();
      BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
      BOOST_TEST(*status == 1, *status << ": " << child.errors());
      if (can_log) BOOST_TEST(contains(child.errors(), "the gateway has ended by a fault: a fault of the program"), child.errors());
    }
}

BOOST_DATA_TEST_CASE(a_node_whose_database_stands_still_ends_in_time, boost::unit_test::data::make({false, true}), busy) {
  own_place place;
  node_process node(place.uri(), {"--node.drain-timeout=1s"});
  const auto client = node.connect();
  const auto id = bank::account::id::named("alice");
  BOOST_TEST_REQUIRE(!client->send(id, bank::open{"Alice", "@alice"}).answer.failure);
  {
    const standstill now;
    auto told = std::make_shared<std::promise<receipt>>();
    if (busy) {
      send_options once;
      once.retry = false;
      client->send_async(id, bank::deposit{1}, once, [told](receipt got) { told->set_value(std::move(got)); });
      // Answered without the store, and behind the command: the node has it.
      (void)client->ask(query_verb::members, "", {});
    }
    const auto status = ends_within(node.child(), 1s + longest_end);
    BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
    BOOST_TEST((*status == 0), node.child().errors());
    if (!busy) return;
    // Before COMMIT was sent it is certain that nothing was written.
    const auto failure = told->get_future().get().answer.failure;
    BOOST_TEST((failure.kind() == error_kind::in_doubt || failure.kind() == error_kind::retryable), to_string(failure));
  }
}

// What waits behind the lock is with the store, and may be committed. All the rest was only queued: it is turned away, or
// learns that nothing was written.
BOOST_AUTO_TEST_CASE(what_a_node_never_took_up_is_not_in_doubt) {
  constexpr int commands = 300;
  own_place place;
  const auto id = ::test::batch::id::named("queued");
  std::vector<std::future<receipt>> answers;
  std::unique_ptr<store> holder;
  {
    node_process node(place.uri(),
                      {"--node.drain-timeout=1s", "--store.lock-timeout=60s", "--store.statement-timeout=60s"});
    const auto client = node.connect();
    BOOST_TEST_REQUIRE(!client->send(id, ::test::add{1}).answer.failure);
    holder = place.open({})->open_writer();
    for (const auto* sql : {"BEGIN", "LOCK TABLE event_log IN SHARE ROW EXCLUSIVE MODE"})
      value_of(holder->query(sql, {}));
    send_options once;
    once.retry = false;
    for (int i = 0; i < commands; ++i) {
      auto told = std::make_shared<std::promise<receipt>>();
      answers.push_back(told->get_future());
      client->send_async(id, ::test::add{1}, once, [told](receipt got) { told->set_value(std::move(got)); });
      if (i == 0)
        await("a commit to wait for the lock", [&] {
          const auto waits = own_server::get().run(
              "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", place.name());
          return waits.at(0).at(0).as<std::int64_t>() > 0;
        });
    }
    // Answered without the aggregate, and behind the commands: the node has them all.
    BOOST_TEST(client->ask(query_verb::list, "batch", {}).code == 0);
    const auto status = ends_within(node.child(), 1s + longest_end);
    BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
    BOOST_TEST((*status == 0), node.child().errors());
    int in_doubt = 0;
    int turned_away = 0;
    int not_written = 0;
    for (auto& answer : answers) {
      BOOST_TEST_REQUIRE((answer.wait_for(patience) == std::future_status::ready));
      const auto failure = answer.get().answer.failure;
      in_doubt += failure.code == errc::in_doubt ? 1 : 0;
      turned_away += failure.code == errc::shutting_down ? 1 : 0;
      not_written += failure.code == errc::store_unavailable ? 1 : 0;
    }
    BOOST_TEST(in_doubt <= 1);
    BOOST_TEST(in_doubt + turned_away + not_written == commands);
  }
  value_of(holder->query("ROLLBACK", {}));
  // None of those that were turned away is carried out after all; the one in doubt may be.
  const auto stored = value_of(holder->query("SELECT count(*) FROM event_log", {})).at(0).at(0).as<std::int64_t>();
  BOOST_TEST((stored == 1 || stored == 2), stored << " events");
}

BOOST_AUTO_TEST_CASE(a_start_that_waits_for_a_mute_database_ends_with_the_signal) {
  const mute_server server;
  process child(node_process::command(server.uri()));
  server.await_caller();
  const auto status = ends_within(child, longest_end);
  BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
  BOOST_TEST((*status == 0), child.errors());
  BOOST_TEST(child.out() == "");
}

BOOST_DATA_TEST_CASE(a_start_that_waits_for_a_lock_ends_with_the_signal, boost::unit_test::data::make({SIGTERM, SIGINT}), signal) {
  own_place place;
  { node_process first(place.uri()); }
  const auto holder = place.open({})->open_writer();
  for (const auto* sql : {"BEGIN", "LOCK TABLE maestro_migrations IN ACCESS EXCLUSIVE MODE"}) value_of(holder->query(sql, {}));
  process child(node_process::command(place.uri()));
  await("the start to wait for the lock", [&] {
    const auto waits = own_server::get().run("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", place.name());
    return waits.at(0).at(0).as<std::int64_t>() > 0;
  });
  const auto status = ends_within(child, longest_end, signal);
  BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
  BOOST_TEST((*status == 0), child.errors());
}

BOOST_AUTO_TEST_CASE(a_migration_that_is_ended_says_that_it_was_not_done) {
  const mute_server server;
  process child({MAESTRO_TEST_NODE, "--migrate", "--store=" + server.uri()});
  server.await_caller();
  const auto status = ends_within(child, longest_end);
  BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
  BOOST_TEST(*status == 4);
  BOOST_TEST(contains(child.errors(), "the migration of the store"), child.errors());
}

BOOST_AUTO_TEST_CASE(a_start_that_waits_for_its_configuration_ends_with_the_signal) {
  const temporary_folder folder;
  const auto path = folder.path("configuration");
  BOOST_TEST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  process child({MAESTRO_TEST_NODE, "--config-file=" + path, "--store=sqlite:" + folder.path("store.db"), "--port=0"});
  int writer = -1;
  // Opens when there is a reader.
  await("the node to read its configuration", [&] { return (writer = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0; });
  const auto status = ends_within(child, longest_end);
  ::close(writer);
  BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
  BOOST_TEST(*status == 0);
  BOOST_TEST(contains(child.errors(), "reads its settings"), child.errors());
}

BOOST_AUTO_TEST_CASE(a_node_whose_program_never_returns_is_ended_and_says_what_it_left) {
  const temporary_folder folder;
  node_process node("sqlite:" + folder.path("store.db"), {"--node.drain-timeout=100ms"});
  const auto client = node.connect();
  send_options once;
  once.retry = false;
  client->send_async(::test::batch::id::named("endless"), ::test::add_slowly{600'000}, once, [](const receipt&) {});
  BOOST_TEST(client->ask(query_verb::list, "batch", {}).code == 0);
  const auto status = ends_within(node.child(), 100ms + longest_end);
  BOOST_TEST_REQUIRE(status.has_value(), "it does not end");
  BOOST_TEST(*status == 1);
  const auto said = node.child().errors();
  BOOST_TEST(contains(said, "leaves undone: the node waits for "), said);
  BOOST_TEST(contains(said, "; 1 requests had no answer"), said);
}

BOOST_AUTO_TEST_CASE(what_accompanies_a_node_is_let_go_when_the_node_takes_nothing_more) {
  const temporary_folder folder;
  node_settings settings;
  settings.port = 0;
  settings.store_uri = "sqlite:" + folder.path("store.db");
  auto started = value_of(node::start(settings, {define<::test::batch>()}));
  error at_the_end;
  {
    const auto client = std::shared_ptr<maestro::client>(started->local_client());
    started->accompany(std::shared_ptr<void>(nullptr, [client, &at_the_end](void*) {
      send_options once;
      once.retry = false;
      at_the_end = client->send(::test::batch::id::named("late"), ::test::add{1}, once).answer.failure;
    }));
    BOOST_TEST(!client->send(::test::batch::id::named("early"), ::test::add{1}).answer.failure);
  }
  BOOST_TEST(started->stop() == 0U);
  BOOST_TEST((at_the_end.code == errc::shutting_down), to_string(at_the_end));
}

BOOST_AUTO_TEST_SUITE_END()
