// A node is killed at any moment, again and again, under load: every command that was acknowledged is in the log, none is
// half there, and the projections are what the events say. Real processes on a real store.
#include "audit.hpp"
#include "load.hpp"
#include "node_process.hpp"

#include "../store/dice.hpp"
#include "../store/test_store.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <future>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

constexpr int rounds = 30;
constexpr std::int64_t most_answers = 300;  // In one life.
constexpr std::chrono::milliseconds longest_start{60};
constexpr std::chrono::milliseconds longest_rebuild{250};

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
  work.send(*client, static_cast<std::size_t>(work.pick(0, most_answers)));
  BOOST_TEST(node.end(SIGKILL) == 128 + SIGKILL);
  BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
}

void kill_again_and_again(const std::string& uri) {
  load work(test_seed());
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

auto rebuild_of(const std::string& projection, const node_process& node) -> std::vector<std::string> {
  return {MAESTRO_COMMAND, "rebuild", "--node", node.address().text(), projection};
}

// A node rebuilds a projection under load and is killed over it. True when the rebuild was not through yet.
auto die_rebuilding(const std::string& uri, load& work, const std::string& projection, std::chrono::milliseconds after) -> bool {
  node_process node(uri);
  const auto client = node.connect();
  auto sending = std::async(std::launch::async, [&] { work.send(*client, most_answers); });
  process asking(rebuild_of(projection, node));
  BOOST_TEST(asking.wait_for_line("{").has_value(), asking.errors());
  (void)asking.wait_for_line("\n", after);
  BOOST_TEST(node.end(SIGKILL) == 128 + SIGKILL);
  sending.get();
  BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
  if (asking.wait().value_or(0) == 0) return false;
  BOOST_TEST(asking.errors().find("goes on where it was when you ask again") != std::string::npos, asking.errors());
  return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(killed_nodes)

BOOST_AUTO_TEST_CASE(a_killed_node_keeps_what_it_acknowledged) {
  const test_store fresh;
  kill_again_and_again(fresh.uri());
}

BOOST_AUTO_TEST_CASE(a_rebuild_can_be_taken_up_again_when_its_node_was_killed_and_commands_went_on) {
  const test_store fresh;
  load work(test_seed());
  {
    node_process node(fresh.uri());
    const auto client = node.connect();
    work.send(*client, 5000);
    BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
    BOOST_TEST(node.end() == 0);
  }
  const auto audited = [&] {
    const auto where = open(fresh.uri());
    const auto reader = where->open_reader();
    wait_until_alone(*where, *reader);
    (void)audit(*reader, work.commands());
  };
  for (const std::string projection : {"balances", "batch_totals"}) {
    int interrupted = 0;
    for (int round = 0; round < 4; ++round) {
      // The first dies at once, when the rebuild has hardly begun.
      const std::chrono::milliseconds after(round == 0 ? 0 : work.pick(0, longest_rebuild.count()));
      interrupted += die_rebuilding(fresh.uri(), work, projection, after) ? 1 : 0;
      audited();
    }
    BOOST_TEST(interrupted > 0);
    node_process node(fresh.uri());
    const auto client = node.connect();
    auto sending = std::async(std::launch::async, [&] { work.send(*client, most_answers); });
    const auto said = run(rebuild_of(projection, node));
    BOOST_TEST(said.status == 0, said.errors);
    sending.get();
    BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
    BOOST_TEST(node.end() == 0);
    std::cout << projection << ": " << interrupted << " of 4 kills met the rebuild; at last: " << said.out;
    audited();
  }
}

// Without this, a test that finds nothing proves nothing.
BOOST_AUTO_TEST_CASE(an_audit_finds_what_a_broken_store_would_have_done) {
  const test_store fresh;
  load work(test_seed());
  {
    node_process node(fresh.uri());
    const auto client = node.connect();
    work.send(*client, 500);  // Enough for a batch with several events and accounts that are open at the end.
    BOOST_TEST_REQUIRE(work.settle(), "a command was left without any answer");
    BOOST_TEST(node.end() == 0);
  }
  const auto where = open(fresh.uri());
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
      "update event_log set command_id = aggregate_id where " + newest,              // Mixes commands up.
      "update event_log set metadata = null where sequence = 1",                       // Forgets what belongs together.
      "update event_log set body = '{\"cents\":101}' where type = 'deposited' and " + newest,
      "update balances set cents = cents + 1",                                         // Projects twice.
      "delete from handles",                                                           // Does not project.
      "update batch_totals set total = total + 1"};
  for (const auto& sql : faults) {
    change("begin");
    change(allow_rewrite(where->sql_dialect()));
    change(sql);
    BOOST_CHECK_THROW((void)audit(*writer, work.commands()), audit_fault);
    change("rollback");
  }
  expect_sound();
}

BOOST_AUTO_TEST_SUITE_END()
