// Nodes that share a store: they find each other, divide the aggregates among them, and go on when one of them leaves, is killed,
// stands still, or is superseded. Real processes, on PostgreSQL.
#include "node_process.hpp"

#include "../store/free_port.hpp"
#include "../store/own_server.hpp"
#include "../store/postgres_server.hpp"
#include "../store/temporary_folder.hpp"

#include "account.hpp"

#include <maestro/aggregates/placement.hpp>
#include <maestro/runtime/certificates.hpp>
#include <maestro/runtime/tcp.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

using account_id = bank::account::id;

// The name, and with it all that a node has, is its number.
class cluster {
 public:
  explicit cluster(std::string uri, int count = 3, std::vector<std::string> settings = {}) : uri_(std::move(uri)), settings_(std::move(settings)) {
    for (int i = 0; i < count; ++i) start();
    await("all to know each other", [&] { return names_alive(0).size() == nodes_.size(); });
  }

  void start() {
    auto settings = settings_;
    settings.push_back("--node.name=node" + std::to_string(nodes_.size()));
    nodes_.push_back(std::make_unique<node_process>(uri_, settings));
  }
  /// Starts one that has ended at the address that it had.
  void start_again(std::size_t index) {
    auto& node = nodes_.at(index);
    const auto port = std::to_string(node->address().port);
    node = std::make_unique<node_process>(uri_, std::vector<std::string>{"--node.name=node" + std::to_string(index), "--port=" + port});
  }
  auto operator[](std::size_t index) -> node_process& { return *nodes_.at(index); }
  [[nodiscard]] auto size() const -> std::size_t { return nodes_.size(); }

  /// Waits until each knows all.
  void await_all() {
    await("all to know each other", [&] {
      for (std::size_t i = 0; i < nodes_.size(); ++i)
        if (names_alive(i).size() != nodes_.size()) return false;
      return true;
    });
  }
  /// The table as one of the nodes knows it.
  auto members(std::size_t asked) -> std::vector<json> {
    const auto listed = nodes_.at(asked)->maestro("members", {});
    BOOST_TEST_REQUIRE(listed.status == 0, listed.errors);
    std::vector<json> rows;
    std::istringstream text(listed.out);
    for (std::string line; std::getline(text, line);) rows.push_back(json::parse(line));
    return rows;
  }
  auto names_alive(std::size_t asked) -> std::set<std::string> {
    std::set<std::string> names;
    for (const auto& each : members(asked))
      if (each["status"] == "alive") names.insert(each["name"]);
    return names;
  }
  auto status_of(const std::string& name, std::size_t asked) -> std::string {
    for (const auto& each : members(asked))
      if (each["name"] == name) return each["status"];
    return "unknown";
  }
  /// Who owns what, as everybody works it out for himself.
  [[nodiscard]] auto owner_of(const aggregate_id& id) const -> std::size_t {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < nodes_.size(); ++i) names.push_back("node" + std::to_string(i));
    return placement(names).owner(placement_key("account", id));
  }
  [[nodiscard]] auto owned_by(std::size_t index) const -> account_id {
    for (int i = 0;; ++i)
      if (const auto id = account_id::named("a" + std::to_string(i)); owner_of(id) == index) return id;
  }
  /// The addresses of all but one.
  [[nodiscard]] auto addresses(std::optional<std::size_t> but = {}) const -> std::vector<node_address> {
    std::vector<node_address> all;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (i != but) all.push_back(nodes_[i]->address());
    return all;
  }

 private:
  const std::string uri_;
  const std::vector<std::string> settings_;
  std::vector<std::unique_ptr<node_process>> nodes_;
};

class environment_variable {
 public:
  environment_variable(const char* name, const std::string& value) : name_(name) { ::setenv(name_, value.c_str(), 1); }
  ~environment_variable() { ::unsetenv(name_); }
  environment_variable(const environment_variable&) = delete;
  auto operator=(const environment_variable&) -> environment_variable& = delete;

 private:
  const char* name_;
};

auto connect(const std::vector<node_address>& addresses) -> std::unique_ptr<client> {
  auto connected = client::connect(addresses, {std::chrono::milliseconds(30'000)});
  BOOST_TEST_REQUIRE(connected.has_value());
  return std::move(*connected);
}

void accepted(const receipt& got) { BOOST_TEST(!got.answer.failure, to_string(got.answer.failure)); }

void open(client& at, const account_id& id) { accepted(at.send(id, bank::open{"Someone", id.value.text()})); }

// Which process wrote an account's events: each has a clock of its own. 0 stands for several.
auto writer_of(store& from, const account_id& id) -> std::uint64_t {
  const auto events = value_of(from.get_events(id, {}));
  BOOST_TEST_REQUIRE(!events.empty());
  const auto first = events.front().timestamp.node();
  for (const auto& each : events)
    if (each.timestamp.node() != first) return 0;
  return first;
}

// One caller after another account, on and on, through one client. Every command must succeed.
class steady_load {
 public:
  steady_load(std::vector<node_address> addresses, std::vector<account_id> accounts)
      : client_(connect(addresses)), accounts_(std::move(accounts)), thread_([this] { run(); }) {}
  ~steady_load() { stop(); }
  void stop() {
    enough_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Waits until so many more have been accepted.
  void await_more(std::uint64_t count) {
    const auto goal = accepted_ + count;
    await("commands to be accepted", [&] { return accepted_ >= goal || failed_; });
  }
  [[nodiscard]] auto accepted() const -> std::uint64_t { return accepted_; }
  [[nodiscard]] auto failure() const -> std::string { return failed_ ? to_string(failure_) : ""; }
  [[nodiscard]] auto longest() const -> std::chrono::milliseconds { return longest_; }

 private:
  void run() {
    for (std::uint64_t i = 0; !enough_ && !failed_; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const auto got = client_->send(accounts_[i % accounts_.size()], bank::deposit{1});
      longest_ = std::max(longest_, std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin));
      if (got.answer.failure) {
        failure_ = got.answer.failure;
        failed_ = true;
      } else {
        ++accepted_;
      }
    }
  }

  std::unique_ptr<client> client_;
  const std::vector<account_id> accounts_;
  std::atomic<bool> enough_{false};
  std::atomic<bool> failed_{false};
  error failure_;
  std::atomic<std::uint64_t> accepted_{0};
  std::chrono::milliseconds longest_{0};
  std::thread thread_;
};

auto some_accounts(client& at, int count) -> std::vector<account_id> {
  std::vector<account_id> accounts;
  for (int i = 0; i < count; ++i) {
    accounts.push_back(account_id::named("a" + std::to_string(i)));
    open(at, accounts.back());
  }
  return accounts;
}

struct shared_store {
  shared_store() { require_server(); }
  auto uri() -> std::string { return place.uri(); }
  auto reader() -> std::unique_ptr<store> { return value_of(open_database(place.uri()))->open_reader(); }
  // A rebuild of the balances by `node`, whose last step waits for `holding`: a transaction there has read the old table.
  static auto rebuild_that_waits_for(store& holding, const node_process& node) -> std::unique_ptr<process> {
    value_of(holding.query("BEGIN", {}));
    value_of(holding.query("SELECT FROM balances", {}));
    auto asking = std::make_unique<process>(
        std::vector<std::string>{MAESTRO_COMMAND, "rebuild", "--node", node.address().text(), "balances"});
    await("the last step to wait for the old table", [&] {
      return !value_of(holding.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'balances'::regclass "
                                     "AND mode = 'AccessExclusiveLock'", {})).empty();
    });
    return asking;
  }
  // The sum of what was deposited, which is one cent each time.
  auto deposits(const std::vector<account_id>& accounts) -> std::uint64_t {
    std::uint64_t sum = 0;
    const auto from = reader();
    for (const auto& id : accounts)
      for (const auto& each : value_of(from->get_events(id, {0, max_sequence(), 1'000'000}))) sum += each.type == "deposited" ? 1 : 0;
    return sum;
  }
  postgres_place place;
};

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

BOOST_FIXTURE_TEST_SUITE(nodes_that_share_a_store, shared_store)

BOOST_AUTO_TEST_CASE(each_aggregate_lives_on_one_node_whoever_is_asked) {
  cluster nodes(uri());
  std::set<std::uint64_t> writers;
  // Connected to one of them, to another, and to all.
  const auto first = nodes[0].connect();
  const auto second = nodes[1].connect();
  const auto any = connect(nodes.addresses());
  const auto accounts = some_accounts(*first, 30);
  const auto from = reader();
  for (const auto& id : accounts) {
    accepted(second->send(id, bank::deposit{5}));
    accepted(any->send(id, bank::deposit{6}));
    const auto writer = writer_of(*from, id);
    BOOST_TEST(writer != 0U, "events of one account were written by several nodes");
    writers.insert(writer);
    // A question finds the same state on all of them, and the log can be read anywhere.
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const auto got = nodes[i].connect()->get(id);
      BOOST_TEST_REQUIRE(got.has_value(), (got ? "" : to_string(got.failure())));
      BOOST_TEST(got->value.balance == 11);
      if (&id != &accounts.front()) break;
    }
  }
  BOOST_TEST(writers.size() == nodes.size());
}

// The rows of the members came along. As long as their heartbeats move in the copy, too, only their greetings tell.
BOOST_DATA_TEST_CASE(nothing_is_handed_to_the_nodes_of_the_original_from_a_copy, boost::unit_test::data::make({false, true}), moving) {
  own_place original;
  own_place copy;
  cluster nodes(original.uri(), 2);
  BOOST_TEST(node_process(copy.uri(), {"--node.name=first"}).end() == 0);
  auto& server = own_server::get();
  for (const auto& row : server.run("SELECT format('(%L, %L, %L, %s, %L, %s, %L, %L)', incarnation, name, address, "
                                    "run, status, heartbeat, served_digest, served) FROM maestro_members",
                                    original.name()))
    server.run(
        "INSERT INTO maestro_members (incarnation, name, address, run, status, heartbeat, served_digest, served) "
        "VALUES " +
            row.at(0).as<std::string>(),
        copy.name());
  std::atomic<bool> enough{!moving};
  std::thread heart([&] {
    const auto table = value_of(open_database(copy.uri()))->open_writer();
    while (!enough) value_of(table->query("UPDATE maestro_members SET heartbeat = heartbeat + 1 WHERE name LIKE 'node%'", {}));
  });
  {
    node_process on_copy(copy.uri(), {"--node.name=on copy"});
    const auto to = on_copy.connect();
    for (int i = 0; i < 30; ++i) open(*to, account_id::named("a" + std::to_string(i)));
    enough = true;
    heart.join();
    BOOST_TEST(on_copy.end() == 0);
  }
  const auto events_in = [&](const own_place& which) { return server.run("SELECT count(*) FROM event_log", which.name()).at(0).at(0).as<std::int64_t>(); };
  BOOST_TEST(events_in(original) == 0);
  BOOST_TEST(events_in(copy) == 30);
}

// Until it has joined its cluster it cannot say which store it has.
BOOST_AUTO_TEST_CASE(a_node_that_has_not_joined_yet_greets_nobody) {
  own_place apart;
  { node_process first(apart.uri()); }
  const auto holder = apart.open({})->open_writer();
  for (const auto* sql : {"BEGIN", "LOCK TABLE maestro_cluster IN ACCESS EXCLUSIVE MODE"}) value_of(holder->query(sql, {}));
  const node_address address{"127.0.0.1", free_port()};
  process child(node_process::command(apart.uri(), {"--port=" + std::to_string(address.port), "--store.lock-timeout=30s"}));
  await("the node to wait for the members' table", [&] {
    const auto waits = own_server::get().run("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", apart.name());
    return waits.at(0).at(0).as<std::int64_t>() > 0;
  });
  await("the node to listen", [&] { return connect_tcp(address.host, address.port, std::chrono::steady_clock::now() + 1s).has_value(); });
  const auto too_early = client::connect(address, {300ms});
  BOOST_TEST_REQUIRE(!too_early.has_value());
  BOOST_TEST((too_early.failure().code == errc::node_unavailable), to_string(too_early.failure()));
  auto waiting = std::async(std::launch::async, [&] { return client::connect(address, {patience}).has_value(); });
  value_of(holder->query("COMMIT", {}));
  BOOST_TEST(child.wait_for_line("ready ").has_value(), child.errors());
  BOOST_TEST(waiting.get());
}

// It would refuse for good what its clients send, as coming from the future.
BOOST_AUTO_TEST_CASE(a_node_whose_clock_is_far_behind_leaves_its_share_to_the_others) {
  cluster nodes(uri(), 2);
  node_process late(uri(), {"--node.name=node2", "--clock.offset=-10min"});
  await("all to know each other", [&] { return nodes.names_alive(0).size() == 3; });
  BOOST_TEST((late.child().errors().find("behind the store's") != std::string::npos), late.child().errors());
  const auto any = connect({nodes[0].address(), late.address()});
  const auto accounts = some_accounts(*any, 40);
  for (const auto& id : accounts) accepted(any->send(id, bank::deposit{1}));
  BOOST_TEST(deposits(accounts) == 40U);
  // A client whose own clock is wrong is refused for good, as before.
  send_options future;
  future.command_id = command_id::make(system_milliseconds(30min), 0, 1);
  const auto refused = any->send(accounts.front(), bank::deposit{1}, future);
  BOOST_TEST((refused.answer.failure.code == errc::command_id_from_the_future), to_string(refused.answer.failure));
  BOOST_TEST(late.end() == 0);
}

BOOST_AUTO_TEST_CASE(a_question_that_is_handed_on_is_answered_as_by_the_owner) {
  cluster nodes(uri(), 2);
  const auto id = nodes.owned_by(1);
  const auto asked = nodes[0].connect();
  open(*asked, id);
  accepted(asked->send(id, bank::deposit{70}));
  const auto refused = asked->send(id, bank::withdraw{71});
  BOOST_TEST((refused.answer.failure.code == errc::rejected), to_string(refused.answer.failure));
  BOOST_TEST(refused.answer.failure.message.find("insufficient funds") != std::string::npos);
  BOOST_TEST(value_of(asked->replay(id, 1)).value.balance == 0);
  BOOST_TEST(value_of(asked->fetch(id)).sequence == 2);
  BOOST_TEST(value_of(asked->snapshot(id)) == 2);
  send_options shown;
  shown.returns = return_mode::events;
  const auto got = asked->send(id, bank::deposit{1}, shown);
  BOOST_TEST_REQUIRE(got.answer.events.size() == 1U);
  BOOST_TEST(got.answer.events.front().type == "deposited");
}

BOOST_AUTO_TEST_CASE(nodes_over_tls_hand_on_to_each_other) {
  const temporary_folder folder;
  certificate_options options;
  options.folder = folder.path("tls");
  BOOST_TEST_REQUIRE(make_certificates(options).has_value());
  const auto file = [&](const std::string& name) { return options.folder + "/" + name; };
  // For the maestro command.
  const environment_variable certificate("MAESTRO_TLS_CERTIFICATE", file("client.crt"));
  const environment_variable key("MAESTRO_TLS_KEY", file("client.key"));
  const environment_variable ca("MAESTRO_TLS_CA", file("ca.crt"));
  cluster nodes(uri(), 2,
                {"--tls.certificate-file=" + file("node.crt"), "--tls.key-file=" + file("node.key"), "--tls.ca-file=" + file("ca.crt")});
  client_settings settings;
  settings.timeout = patience;
  settings.tls = {file("client.crt"), file("client.key"), file("ca.crt")};
  std::array<std::set<std::uint64_t>, 2> writers;
  const auto from = reader();
  for (int i = 0; i < 20; ++i) {
    const auto id = account_id::named("a" + std::to_string(i));
    // One that has just connected knows no other node yet.
    const auto fresh = client::connect({nodes[0].address()}, settings);
    BOOST_TEST_REQUIRE(fresh.has_value(), (fresh ? "" : to_string(fresh.failure())));
    open(**fresh, id);
    writers.at(nodes.owner_of(id)).insert(writer_of(*from, id));
  }
  BOOST_TEST(writers[0].size() == 1U);
  BOOST_TEST(writers[1].size() == 1U);
  BOOST_TEST(writers[0] != writers[1]);
}

BOOST_AUTO_TEST_CASE(who_joins_takes_its_share_and_who_leaves_gives_it_back_and_no_command_fails) {
  cluster nodes(uri(), 2);
  const auto opening = connect(nodes.addresses());
  const auto accounts = some_accounts(*opening, 40);
  steady_load load(nodes.addresses(0), accounts);  // It learns the others.
  load.await_more(100);
  nodes.start();
  load.await_more(100);
  const auto after = reader();
  await("the new node to take its share", [&] {
    std::set<std::uint64_t> writers;
    for (const auto& id : accounts)
      if (const auto events = value_of(after->get_events(id, {0, max_sequence(), 1'000'000})); !events.empty())
        writers.insert(events.back().timestamp.node());
    return writers.size() == 3U;
  });
  for (std::size_t leaving = 1; leaving < 3; ++leaving) {
    BOOST_TEST(nodes[leaving].end() == 0);
    BOOST_TEST(nodes[leaving].child().errors() == "");
    await("the others to hear of it", [&] { return nodes.status_of("node" + std::to_string(leaving), 0) == "left"; });
    load.await_more(100);
  }
  load.stop();
  BOOST_TEST(load.failure() == "");
  BOOST_TEST(deposits(accounts) == load.accepted());
  std::cout << "two nodes left one after the other: the longest command took " << load.longest().count() << " ms" << std::endl;
}

// While it still carries out what it has taken, nothing more is placed on it.
BOOST_AUTO_TEST_CASE(a_node_that_ends_leaves_the_cluster_before_anything_else) {
  cluster nodes(uri(), 2);
  const auto to = nodes[0].connect();
  send_options once;
  once.retry = false;
  auto told = std::make_shared<std::promise<receipt>>();
  auto taken = told->get_future();
  const auto owned = [&] {
    for (int i = 0;; ++i)
      if (const auto id = derive_aggregate_id("batch", "b" + std::to_string(i)); placement({"node0", "node1"}).owner(placement_key("batch", id)) == 0U) return id;
  }();
  to->send_async("batch", owned, "add_slowly", R"({"milliseconds":6000})", once, [told](receipt got) { told->set_value(std::move(got)); });
  BOOST_TEST(to->ask(query_verb::list, "batch", {}).code == 0);  // Behind the command, and answered without it.
  nodes[0].child().send_signal(SIGTERM);
  await("the other to hear of it", [&] { return nodes.status_of("node0", 1) == "left"; });
  BOOST_TEST((taken.wait_for(0s) == std::future_status::timeout), "it left when all was done");
  // What it owned lives there from now on.
  open(*nodes[1].connect(), nodes.owned_by(0));
  BOOST_TEST_REQUIRE((taken.wait_for(patience) == std::future_status::ready));
  accepted(taken.get());
  BOOST_TEST(nodes[0].child().wait().value_or(-1) == 0, nodes[0].child().errors());
}

// One statement of a tool, a TRUNCATE, or a restore of the data alone.
BOOST_DATA_TEST_CASE(a_row_or_a_table_of_the_members_that_is_gone_ends_no_node, boost::unit_test::data::make({"DELETE FROM maestro_cluster", "TRUNCATE maestro_cluster", "DELETE FROM maestro_members", "TRUNCATE maestro_cluster, maestro_members"}), sql) {
  cluster nodes(uri(), 2);
  const auto id = nodes.owned_by(1);
  open(*nodes[0].connect(), id);
  value_of(value_of(open_database(uri()))->open_writer()->query(sql, {}));
  nodes.start();
  nodes.await_all();
  for (std::size_t i = 0; i < nodes.size(); ++i) accepted(nodes[i].connect()->send(id, bank::deposit{1}));
  BOOST_TEST((nodes[0].end() == 0), nodes[0].child().errors());
  nodes.start_again(0);
  accepted(nodes[0].connect()->send(id, bank::deposit{1}));
  for (std::size_t i = 0; i < nodes.size(); ++i) BOOST_TEST((nodes[i].end() == 0), nodes[i].child().errors());
}

BOOST_AUTO_TEST_CASE(a_rolling_restart_fails_no_command) {
  cluster nodes(uri());
  const auto opening = connect(nodes.addresses());
  const auto accounts = some_accounts(*opening, 40);
  // One that is given all the addresses, and one that knows a single node, which goes as well.
  steady_load all(nodes.addresses(), accounts);
  steady_load one(std::vector<node_address>{nodes[2].address()}, accounts);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    all.await_more(50);
    one.await_more(50);
    BOOST_TEST((nodes[i].end() == 0), nodes[i].child().errors());
    nodes.start_again(i);
    await("it to be back", [&] { return nodes.names_alive((i + 1) % 3).size() == 3U; });
  }
  all.await_more(50);
  one.await_more(50);
  all.stop();
  one.stop();
  BOOST_TEST(all.failure() == "");
  BOOST_TEST(one.failure() == "");
  BOOST_TEST(deposits(accounts) == all.accepted() + one.accepted());
  std::cout << "three nodes were restarted in turn: the longest command took " << std::max(all.longest(), one.longest()).count() << " ms"
            << std::endl;
}

BOOST_AUTO_TEST_CASE(what_a_killed_node_owned_goes_on_elsewhere) {
  cluster nodes(uri());
  const auto opening = connect(nodes.addresses());
  const auto accounts = some_accounts(*opening, 40);
  steady_load load(nodes.addresses(), accounts);
  load.await_more(100);
  const auto lost = nodes.owned_by(2);
  if (const auto got = opening->get(lost); !got || got->sequence == 0) open(*opening, lost);
  const auto begin = std::chrono::steady_clock::now();
  const auto since = [&] { return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count(); };
  BOOST_TEST(nodes[2].end(SIGKILL) == 128 + SIGKILL);
  accepted(opening->send(lost, bank::deposit{1}));
  const auto answered = since();
  await("the others to find out", [&] { return nodes.status_of("node2", 0) == "dead"; });
  const auto declared = since();
  load.await_more(100);
  load.stop();
  BOOST_TEST(load.failure() == "");
  std::cout << "a node was killed: what it owned answered after " << answered << " ms, it was declared dead within " << declared
            << " ms, the longest command of all took " << load.longest().count() << " ms" << std::endl;
}

BOOST_AUTO_TEST_CASE(a_node_that_stands_still_is_replaced_and_ends_when_it_goes_on) {
  cluster nodes(uri());
  const auto opening = connect(nodes.addresses());
  const auto accounts = some_accounts(*opening, 40);
  steady_load load(nodes.addresses(), accounts);
  load.await_more(100);
  nodes[1].child().send_signal(SIGSTOP);
  await("the others to find out", [&] { return nodes.status_of("node1", 0) == "dead"; });
  load.await_more(100);
  nodes[1].child().send_signal(SIGCONT);
  BOOST_TEST(nodes[1].child().wait().value_or(-1) == 1);
  const auto said = nodes[1].child().errors();
  BOOST_TEST(said.find("have declared node1 dead") != std::string::npos, said);
  load.await_more(100);
  load.stop();
  BOOST_TEST(load.failure() == "");
  BOOST_TEST(deposits(accounts) == load.accepted());
  std::cout << "a node was stopped: the longest command took " << load.longest().count() << " ms" << std::endl;
}

// It waits for the lock that a change of members begins with for as long as this test needs, and is frozen when it has got it.
BOOST_AUTO_TEST_CASE(a_node_that_is_frozen_in_a_change_of_members_keeps_others_from_theirs_for_a_moment_only) {
  node_process first(uri(), {"--node.name=first"});
  const auto holding = value_of(open_database(uri()))->open_writer();
  value_of(holding->query("BEGIN", {}));
  value_of(holding->query("UPDATE maestro_cluster SET version = version", {}));
  process frozen(node_process::command(place.uri({}, "-clock_timeout%3D60000"), {"--node.name=frozen"}));
  const auto looking = reader();  // A transaction looks at the sessions once.
  const auto in_change = [&](const std::string& what) {
    return !value_of(looking->query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'UPDATE maestro_cluster SET version = version + 1%' AND " + what, {})).empty();
  };
  await("a node to wait for the row", [&] { return in_change("wait_event_type = 'Lock'"); });
  frozen.send_signal(SIGSTOP);
  value_of(holding->query("ROLLBACK", {}));
  await("it to have the row", [&] { return in_change("state = 'idle in transaction'"); });
  const auto begin = std::chrono::steady_clock::now();
  const auto table = value_of(open_database(uri()))->open_members();
  await("another member to join", [&] { return table->join({"another", incarnation_id{timestamp::make(1, 2, 3).bytes}, "127.0.0.1:1", member_status::alive, 0}).has_value(); });
  const auto took = std::chrono::steady_clock::now() - begin;
  BOOST_TEST((took < 10s));
  std::cout << "a node was frozen in a change of members: another one joined after "
            << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms" << std::endl;
  frozen.send_signal(SIGKILL);
}

BOOST_AUTO_TEST_CASE(a_node_that_is_frozen_in_the_last_step_of_a_rebuild_stops_the_others_for_a_moment_only) {
  node_process frozen(place.uri({}, "-clock_timeout%3D60000"), {"--node.name=frozen"});
  node_process other(uri(), {"--node.name=other"});
  const auto client = other.connect();
  for (const auto* name : {"a", "b", "c", "d"}) open(*client, account_id::named(name));
  const auto holding = reader();
  const auto asking = rebuild_that_waits_for(*holding, frozen);
  frozen.child().send_signal(SIGSTOP);
  value_of(holding->query("ROLLBACK", {}));
  await("it to have all locks", [&] {
    return !value_of(holding->query("SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted AND relation = 'event_log'::regclass "
                                    "AND mode = 'ShareRowExclusiveLock' AND state = 'idle in transaction'", {})).empty();
  });
  const auto begin = std::chrono::steady_clock::now();
  for (const auto* name : {"a", "b", "c", "d"}) accepted(client->send(account_id::named(name), bank::deposit{1}));
  const auto took = std::chrono::steady_clock::now() - begin;
  BOOST_TEST((took < 15s));
  std::cout << "a node was frozen in the last step of a rebuild: the others' commands waited for "
            << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms" << std::endl;
  BOOST_TEST(value_of(reader()->query("SELECT cents FROM balances", {})).size() == 4U);
  asking->send_signal(SIGKILL);
  frozen.end(SIGKILL);
}

// The server cancels the statement that the rebuild waits for.
BOOST_AUTO_TEST_CASE(a_node_that_rebuilds_ends_in_time) {
  node_process node(uri(), {"--node.drain-timeout=100ms", "--store.lock-timeout=60s", "--store.statement-timeout=60s"});
  open(*node.connect(), account_id::named("a"));
  const auto holding = reader();
  const auto asking = rebuild_that_waits_for(*holding, node);
  node.child().send_signal(SIGTERM);
  const auto status = node.child().wait(100ms + longest_end);
  BOOST_TEST_REQUIRE(status.has_value(), "the node does not end");
  BOOST_TEST(*status == 0, node.child().errors());
  BOOST_TEST(asking->wait().value_or(0) != 0);
  BOOST_TEST(asking->errors().find("goes on where it was when you ask again") != std::string::npos, asking->errors());
}

BOOST_AUTO_TEST_CASE(a_second_node_of_a_name_is_refused_while_the_first_lives) {
  cluster nodes(uri(), 2);
  process second(node_process::command(uri(), {"--node.name=node1"}));
  BOOST_TEST(second.wait().value_or(-1) == 4);  // It may be free in a while.
  const auto said = second.errors();
  BOOST_TEST(said.find(nodes[1].address().text()) != std::string::npos, said);
  BOOST_TEST(said.find("node.name") != std::string::npos, said);
  BOOST_TEST(nodes.names_alive(0) == (std::set<std::string>{"node0", "node1"}), boost::test_tools::per_element());
  open(*nodes[1].connect(), nodes.owned_by(1));
  BOOST_TEST((nodes[1].end() == 0), nodes[1].child().errors());
}

BOOST_AUTO_TEST_CASE(a_node_that_stands_still_gives_its_name_to_the_next) {
  cluster nodes(uri(), 2);
  nodes[1].child().send_signal(SIGSTOP);
  const auto began = std::chrono::steady_clock::now();
  node_process next(uri(), {"--node.name=node1"});
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  std::cout << "a node of the name of one that stands still serves after " << took.count() << " ms" << std::endl;
  open(*next.connect(), nodes.owned_by(0));
  nodes[1].child().send_signal(SIGCONT);
  BOOST_TEST(nodes[1].child().wait().value_or(-1) == 1);
  const auto said = nodes[1].child().errors();
  BOOST_TEST(said.find(next.address().text()) != std::string::npos, said);
  BOOST_TEST(said.find("node.name") != std::string::npos, said);
}

BOOST_AUTO_TEST_CASE(a_lone_node_that_was_killed_serves_at_once_when_it_is_started_again) {
  // Longer than any start takes: a name that is waited for would be seen.
  const std::vector<std::string> named{"--node.name=lonely", "--cluster.suspicion-time=30s"};
  const auto id = account_id::named("alice");
  {
    node_process node(uri(), named);
    open(*node.connect(), id);
    BOOST_TEST(node.end(SIGKILL) == 128 + SIGKILL);
  }
  const auto began = std::chrono::steady_clock::now();
  node_process again(uri(), named);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  std::cout << "a node that was killed serves again " << took.count() << " ms after it is started" << std::endl;
  BOOST_TEST((took < 30s));
  accepted(again.connect()->send(id, bank::deposit{1}));
  BOOST_TEST(again.end() == 0);
}

// What SECURITY.md says that a node's role needs, and nothing else.
BOOST_AUTO_TEST_CASE(a_node_whose_role_may_only_what_is_documented_lives_the_banks_life) {
  { const node_process first(uri()); }
  const auto hand = value_of(open_database(uri()))->open_writer();
  const auto run = [&](const std::string& sql) { value_of(hand->query(sql, {})); };
  const auto role =
      "maestro_test_node_" + value_of(hand->query("SELECT pg_backend_pid()::text", {})).at(0).at(0).as<std::string>();
  run("CREATE ROLE " + role);
  run("GRANT USAGE ON SCHEMA " + place.name() + " TO " + role);
  for (const char* table :
       {"event_log", "snapshots", "maestro_members", "maestro_cluster", "maestro_migrations", "maestro_schema"})
    run("GRANT SELECT ON " + std::string(table) + " TO " + role);
  run("GRANT INSERT ON event_log TO " + role);
  run("GRANT INSERT, UPDATE ON snapshots TO " + role);
  run("GRANT UPDATE ON maestro_cluster TO " + role);
  run("GRANT INSERT, UPDATE, DELETE ON maestro_members TO " + role);
  for (const char* table : {"balances", "handles", "batch_totals"})
    run("GRANT SELECT, INSERT, UPDATE, DELETE ON " + std::string(table) + " TO " + role);
  {
    node_process node(place.uri({}, "-crole%3D" + role), {"--node.migrate=false", "--node.name=limited"});
    const auto id = std::string("name:alice");
    const std::vector<std::pair<std::string, std::vector<std::string>>> life{
        {"send", {"account", id, "open", R"({"owner":"Alice","handle":"al"})"}},
        {"send", {"account", id, "deposit", R"({"cents":500})"}},
        {"send", {"account", id, "withdraw", R"({"cents":200})"}},
        {"get", {"account", id}},
        {"get", {"account", id, "--fetch"}},
        {"replay", {"account", id, "1"}},
        {"diff", {"account", id, "1", "3"}},
        {"events", {"account", id}},
        {"list", {"account"}},
        {"snapshot", {"account", id}},
        {"members", {}},
        {"send", {"account", id, "withdraw", R"({"cents":300})"}},
        {"send", {"account", id, "close", "{}"}}};
    for (const auto& [verb, arguments] : life) {
      const auto ended = node.maestro(verb, arguments);
      BOOST_TEST(ended.status == 0, verb << ": " << ended.errors);
    }
    const auto taken = node.maestro("send", {"account", "name:bob", "withdraw", R"({"cents":1})"});
    BOOST_TEST(taken.status == 3, taken.errors);
    const auto rebuilt = node.maestro("rebuild", {"balances"});
    BOOST_TEST(rebuilt.status == 2, rebuilt.errors);
    BOOST_TEST(rebuilt.errors.find("GRANT CREATE ON DATABASE") != std::string::npos, rebuilt.errors);
    // One that takes over the name ends the sessions of the one before, which is of the same role.
    BOOST_TEST(node.end(SIGKILL) == 128 + SIGKILL);
    node_process again(place.uri({}, "-crole%3D" + role), {"--node.migrate=false", "--node.name=limited"});
    BOOST_TEST((again.end() == 0), again.child().errors());
  }
  run("DROP OWNED BY " + role);
  run("DROP ROLE " + role);
}

BOOST_AUTO_TEST_CASE(the_members_are_watched_for_as_long_as_one_likes) {
  cluster nodes(uri(), 1);
  process watching({MAESTRO_COMMAND, "members", "--watch", "--node", nodes[0].address().text()});
  BOOST_TEST_REQUIRE(watching.wait_for_line(R"({"name":"node0")").has_value());
  nodes.start();
  BOOST_TEST_REQUIRE(watching.wait_for_line(R"({"name":"node1")").has_value());
}

// Longer than any suspicion; and the database's own clock may say what it likes.
BOOST_AUTO_TEST_CASE(an_outage_of_the_database_ends_no_node) {
  const own_place hurt;
  cluster nodes(hurt.uri());
  const auto id = nodes.owned_by(1);
  const auto asked = nodes[0].connect();
  open(*asked, id);
  own_server::get().stop_immediately();
  send_options once;
  once.timeout = 4s;  // The outage lasts as long as this is tried.
  const auto refused = asked->send(id, bank::deposit{1}, once);
  BOOST_TEST(static_cast<bool>(refused.answer.failure), "a command was accepted without a database");
  own_server::get().start();
  send_options again;
  again.command_id = refused.command_id;
  accepted(asked->send(id, bank::deposit{1}, again));
  nodes.await_all();
  for (std::size_t i = 0; i < nodes.size(); ++i) BOOST_TEST((nodes[i].end() == 0), nodes[i].child().errors());
}

BOOST_AUTO_TEST_SUITE_END()
