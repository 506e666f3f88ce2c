// A node is killed at any moment, again and again, under load: every command that was acknowledged is in the log, none is
// half there, and the projections are what the events say. Real processes on a real store.
#include "audit.hpp"
#include "load.hpp"
#include "node_process.hpp"

#include "../store/temporary_folder.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace maestro;
using namespace maestro::test;

namespace {

constexpr int rounds = 30;
constexpr std::chrono::milliseconds longest_round{200};
constexpr std::chrono::milliseconds longest_start{60};

auto seed() -> std::uint64_t {
  const char* given = std::getenv("MAESTRO_TEST_SEED");
  const auto chosen = given != nullptr ? std::strtoull(given, nullptr, 10) : random_node() >> 1;
  std::cout << "MAESTRO_TEST_SEED=" << chosen << std::endl;
  return chosen;
}

auto open(const std::string& uri) -> std::shared_ptr<database> {
  auto opened = open_database(uri);
  if (!opened) BOOST_FAIL(to_string(opened.failure()));
  return *opened;
}

// A server goes on with what a dead client had sent: until it has noticed, more may be committed.
void wait_until_alone(database& where, store& reader) {
  if (where.sql_dialect() == dialect::sqlite) return;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const auto others = reader.query(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and backend_type = 'client backend'", {});
    BOOST_TEST_REQUIRE(others.has_value());
    if (others->at(0).at(0).as<std::int64_t>() == 0) return;
    BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() < deadline), "the killed node's sessions do not end");
    std::this_thread::yield();
  }
}

// One life of a node: it is killed while it starts, or at some moment of work.
void live_and_die(const std::string& uri, load& work, bool while_it_starts) {
  if (while_it_starts) {
    process starting(node_process::command(uri));
    (void)starting.wait_for_line("ready ", std::chrono::milliseconds(work.pick(0, longest_start.count())));
    starting.send_signal(SIGKILL);
    BOOST_TEST(starting.wait().value_or(0) == 128 + SIGKILL);
    return;
  }
  node_process node(uri);
  const auto client = node.connect();
  const std::chrono::microseconds life(work.pick(0, std::chrono::microseconds(longest_round).count()));
  work.send_until(*client, std::chrono::steady_clock::now() + life);
  BOOST_TEST(node.end(SIGKILL) == 128 + SIGKILL);
  BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
}

void kill_again_and_again(const std::string& uri) {
  load work(seed());
  audit_counts sum;
  BOOST_TEST_REQUIRE(node_process(uri).end() == 0);  // Makes the tables.
  for (int round = 1; round <= rounds; ++round) {
    BOOST_TEST_CONTEXT("round " << round) {
      live_and_die(uri, work, work.pick(1, 6) == 1);
      const auto where = open(uri);
      const auto reader = where->open_reader();
      wait_until_alone(*where, *reader);
      const auto counts = audit(*reader, work.commands());
      sum.landed += counts.landed;
      sum.lost += counts.lost;
      sum.events = counts.events;
    }
  }
  const auto& sent = work.commands();
  const auto accepted = std::count_if(sent.begin(), sent.end(), [](const auto& each) { return each.known == verdict::accepted; });
  std::cout << rounds << " kills, " << sent.size() << " commands, " << accepted << " accepted, " << sum.events
            << " events; in doubt at a kill: " << sum.landed << " stored, " << sum.lost << " not" << std::endl;
  BOOST_TEST(accepted > rounds);
  BOOST_TEST(sum.landed + sum.lost > 0U);
}

// A database of the server at MAESTRO_TEST_POSTGRES that is gone with the object.
class fresh_database {
 public:
  explicit fresh_database(std::string server)
      : server_(std::move(server)), name_("maestro_kill_" + std::to_string(::getpid())) {
    run("create database " + name_);
  }
  ~fresh_database() { run("drop database if exists " + name_ + " with (force)"); }
  fresh_database(const fresh_database&) = delete;
  auto operator=(const fresh_database&) -> fresh_database& = delete;

  // The server's URI with our name where the database stands: after the first '/' behind the host.
  [[nodiscard]] auto uri() const -> std::string {
    const auto host = server_.find("://") + 3;
    const auto parameters = std::min(server_.find('?', host), server_.size());
    const auto path = std::min(server_.find('/', host), parameters);
    return server_.substr(0, path) + "/" + name_ + server_.substr(parameters);
  }

 private:
  void run(const std::string& sql) {
    const auto done = open(server_)->open_writer()->query(sql, {});
    if (!done) BOOST_ERROR(sql << ": " << to_string(done.failure()));
  }
  std::string server_;
  std::string name_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(killed_nodes)

BOOST_AUTO_TEST_CASE(a_killed_node_on_a_file_keeps_what_it_acknowledged) {
  temporary_folder folder;
  kill_again_and_again("sqlite:" + folder.path("store.db"));
}

// Without this, a test that finds nothing proves nothing.
BOOST_AUTO_TEST_CASE(an_audit_finds_what_a_broken_store_would_have_done) {
  temporary_folder folder;
  const auto uri = "sqlite:" + folder.path("store.db");
  load work(seed());
  {
    node_process node(uri);
    const auto client = node.connect();
    // Enough for a batch with several events and accounts that are open at the end.
    while (work.commands().size() < 500) {
      work.send_until(*client, std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
      BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
    }
    BOOST_TEST(node.end() == 0);
  }
  const auto where = open(uri);
  const auto writer = where->open_writer();
  const auto change = [&](const std::string& sql) {
    const auto done = writer->query(sql, {});
    if (!done) BOOST_FAIL(sql << ": " << to_string(done.failure()));
  };
  const auto expect_sound = [&] {
    try {
      (void)audit(*writer, work.commands());
    } catch (const audit_fault& fault) {
      BOOST_ERROR(fault.what());
    }
  };
  expect_sound();

  const std::string newest = "sequence = (select max(sequence) from event_log e where e.aggregate_id = event_log.aggregate_id)";
  const std::vector<std::string> faults{
      "delete from event_log where aggregate_type = 'account' and " + newest,          // Loses what it acknowledged.
      "delete from event_log where aggregate_type = 'batch' and " + newest,            // Keeps half a command.
      "delete from event_log where aggregate_type = 'batch' and sequence = 2",         // Leaves a gap.
      "update event_log set command_id = randomblob(16) where " + newest,              // Mixes commands up.
      "update event_log set metadata = null where sequence = 1",                       // Forgets what belongs together.
      "update event_log set body = '{\"cents\":101}' where type = 'deposited' and " + newest,
      "update balances set cents = cents + 1",                                         // Projects twice.
      "delete from handles",                                                           // Does not project.
      "update batch_totals set total = total + 1"};
  for (const auto& sql : faults) {
    change("savepoint sound");
    change(sql);
    BOOST_CHECK_THROW((void)audit(*writer, work.commands()), audit_fault);
    change("rollback to sound");
    change("release sound");
  }
  expect_sound();
}

// Run by name: ctest has an entry for it, and says that it was skipped where there is no server.
BOOST_AUTO_TEST_CASE(a_killed_node_on_postgres_keeps_what_it_acknowledged, *boost::unit_test::disabled()) {
  const char* server = std::getenv("MAESTRO_TEST_POSTGRES");
  if (server == nullptr || *server == '\0') {
    std::cout << "skipped: MAESTRO_TEST_POSTGRES names no server" << std::endl;
    std::_Exit(77);
  }
  const fresh_database fresh(server);
  kill_again_and_again(fresh.uri());
}

BOOST_AUTO_TEST_SUITE_END()
