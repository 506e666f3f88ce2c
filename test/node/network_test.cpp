// A cluster on a network that fails: nodes are cut off from each other, from the database and from their clients, links go down and get
// slow. Under load, with real namespaces, and an audit of every command afterwards.
//
// Needs root, iproute2 and iptables; skipped where there are no network namespaces (network.hpp).
#include "audit.hpp"
#include "customers.hpp"
#include "network.hpp"
#include "node_group.hpp"
#include "sender.hpp"

#include "../store/dice.hpp"
#include "../store/own_server.hpp"

#include "account.hpp"

#include <maestro/aggregates/placement.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

using account_id = bank::account::id;
using steady_clock = std::chrono::steady_clock;

// The default of cluster.suspicion-time, which all nodes here have.
constexpr auto suspicion_time = 1'500ms;
const std::string database_host = node_group::database_host;
const std::string clients_host = node_group::clients_host;
constexpr auto node_at = node_group::name_of;

// The one network of the program. The first thread lives with the database, where the server is started.
struct whole_network {
  whole_network() {
    if (const auto why = network::obstacle(); !why.empty()) {
      std::printf("skipped: %s\n", why.c_str());
      std::fflush(stdout);
      std::_Exit(77);
    }
    static network made(node_group::hosts());
    only = &made;
    static const network::visit home(made, database_host);
    own_server::listen_on(made.address_of(database_host));
  }
  static inline network* only = nullptr;
};

class stopwatch {
 public:
  [[nodiscard]] auto elapsed() const -> std::chrono::milliseconds {
    return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin_);
  }

 private:
  const steady_clock::time_point begin_ = steady_clock::now();
};

struct troubled_bank {
  troubled_bank() : net(*whole_network::only), nodes(&net) {
    await("all to know each other", [this] { return alive(0).size() == node_group::size; });
    const network::visit at_clients(net, clients_host);
    const auto seed = test_seed();
    for (std::uint64_t i = 1; i <= 2; ++i) senders.push_back(std::make_unique<sender>(nodes.addresses(), seed + i));
    payers = std::make_unique<customers>(nodes.addresses(), seed, client_settings{}.timeout);
    await_more(100);
  }
  ~troubled_bank() { net.restore(); }

  /// As one of the nodes knows them.
  auto alive(std::size_t asked) -> std::set<std::string> {
    const network::visit at_clients(net, clients_host);
    const auto listed = run({MAESTRO_COMMAND, "members", "--node", nodes.addresses()[asked].text()});
    BOOST_TEST_REQUIRE(listed.status == 0, listed.errors);
    std::set<std::string> names;
    std::istringstream rows(listed.out);
    for (std::string row; std::getline(rows, row);)
      if (const auto each = nlohmann::json::parse(row); each["status"] == "alive") names.insert(each["name"]);
    return names;
  }
  void await_death_of(std::size_t dead) {
    const auto asked = (dead + 1) % node_group::size;
    await("the others to find out", [&] { return !alive(asked).contains(node_at(dead)); });
  }
  /// Cuts, and makes sure of it.
  void cut(const std::string& host, const std::string& other) {
    const auto port = other == database_host ? static_cast<std::uint16_t>(own_server::get().port()) : nodes.addresses()[0].port;
    BOOST_TEST(net.reaches(host, other, port));
    net.cut(host, other);
    BOOST_TEST(!net.reaches(host, other, port));
  }
  /// Waits until so many more of the senders' commands have been answered.
  void await_more(std::size_t count) {
    for (const auto& each : senders) {
      const auto goal = each->answered() + count;
      await("commands to be answered", [&] { return each->answered() >= goal; });
    }
  }
  /// The others go on living, and the one that was taken for dead ends by itself and says why; then it is started again.
  auto end_of(std::size_t dead) -> std::chrono::milliseconds {
    const stopwatch since;
    const auto status = nodes[dead].wait();
    const auto took = since.elapsed();
    BOOST_TEST(node_group::was_taken_for_dead(nodes[dead], status), "status " << status.value_or(-1) << ": " << nodes[dead].errors());
    for (std::size_t i = 0; i < node_group::size; ++i)
      if (i != dead) BOOST_TEST(!nodes[i].wait(0ms).has_value(), nodes[i].errors());
    nodes.start(dead);
    return took;
  }
  /// Nobody has ended, and no node takes another one for dead.
  void everybody_lives() {
    for (std::size_t i = 0; i < node_group::size; ++i) {
      BOOST_TEST(!nodes[i].wait(0ms).has_value(), nodes[i].errors());
    }
    BOOST_TEST(alive(0).size() == node_group::size);
  }

  [[nodiscard]] static auto owned_by(std::size_t index) -> account_id {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < node_group::size; ++i) names.push_back(node_at(i));
    const placement places(names);
    for (int i = 0;; ++i) {
      const auto id = account_id::named("probe " + std::to_string(i));
      if (places.owner(placement_key("account", id.value)) == index) return id;
    }
  }
  /// A client that has learned the members from node `home`, and knows the way to the others.
  auto client_at(std::size_t home) -> std::unique_ptr<client> {
    const network::visit at_clients(net, clients_host);
    auto given = nodes.addresses();
    std::rotate(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(home), given.end());
    auto connected = client::connect(given);
    BOOST_TEST_REQUIRE(connected.has_value());
    BOOST_TEST_REQUIRE((*connected)->greeting().node == node_at(home));
    return std::move(*connected);
  }
  /// Sends a command to an account that node `owner` had. What is returned tells how long the answer took, once it is there; rejected is an
  /// answer, too.
  auto ask(client& asked, std::size_t owner) -> std::future<std::chrono::milliseconds> {
    auto& sent = probes.emplace_back();
    sent.aggregate_type = "account";
    sent.aggregate_id = owned_by(owner).value;
    sent.name = "open";
    sent.payload = R"({"owner":"Someone","handle":"probe )" + std::to_string(probes.size()) + "\"}";
    const auto told = std::make_shared<std::promise<std::chrono::milliseconds>>();
    const auto answered = [&sent, told, since = stopwatch()](const receipt& got) {
      sent.command_id = got.command_id;
      sent.first = got.answer.first;
      sent.last = got.answer.last;
      if (!got.answer.failure) sent.known = verdict::accepted;
      else if (got.answer.failure.kind() == error_kind::rejected) sent.known = verdict::refused;
      told->set_value(since.elapsed());
    };
    asked.send_async(sent.aggregate_type, sent.aggregate_id, sent.name, sent.payload, {}, answered);
    return told->get_future();
  }
  auto time_to_answer(client& asked, std::size_t owner) -> std::chrono::milliseconds { return ask(asked, owner).get(); }

  /// Ends the load and the nodes, and looks through the log.
  void audit_all() {
    net.restore();
    std::deque<sent_command> all = probes;
    for (const auto& each : probes) BOOST_TEST((each.known != verdict::in_doubt), "nobody said what became of a command");
    std::chrono::milliseconds longest{0};
    std::size_t doubts = 0;
    for (auto& each : senders) each->stop();
    payers->stop();
    for (auto& each : senders) each->settle();
    payers->wait_until_over();
    for (auto& each : senders) {
      all.insert(all.end(), each->commands().begin(), each->commands().end());
      longest = std::max(longest, each->longest());
      doubts += each->doubts();
    }
    all.insert(all.end(), payers->commands().begin(), payers->commands().end());
    longest = std::max(longest, payers->longest());
    nodes.end();
    const auto where = open_database(nodes.store().uri()).value();
    audit_counts counts;
    try {
      counts = audit(*where->open_reader(), all);
    } catch (const audit_fault& fault) {
      BOOST_FAIL(fault.what());
    }
    BOOST_TEST(counts.landed + counts.lost == 0U);
    // The client's timeout, and what a slow machine takes to keep it.
    BOOST_TEST((longest < client_settings{}.timeout + 2s), "an answer took " << longest.count() << " ms");
    const auto accepted = std::count_if(all.begin(), all.end(), [](const sent_command& each) { return each.known == verdict::accepted; });
    BOOST_TEST(accepted > 100);
    std::cout << "  " << all.size() << " commands, " << accepted << " accepted, " << doubts << " answered in doubt at first; "
              << counts.transfers.all() << " transfers; the longest answer took " << longest.count() << " ms" << std::endl;
  }

  network& net;
  node_group nodes;
  std::vector<std::unique_ptr<sender>> senders;
  std::unique_ptr<customers> payers;
  std::deque<sent_command> probes;
};

}  // namespace

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

BOOST_TEST_GLOBAL_FIXTURE(whole_network);

BOOST_FIXTURE_TEST_SUITE(a_network_that_fails, troubled_bank)

BOOST_AUTO_TEST_CASE(nodes_that_cannot_reach_each_other_live_on) {
  cut(node_at(1), node_at(0));
  cut(node_at(1), node_at(2));
  // What lives on the other side of the cut is asked for by clients who do not know better.
  const auto from_one = client_at(1);
  const auto from_other = client_at(0);
  auto there = ask(*from_one, 0);
  auto back = ask(*from_other, 1);
  std::this_thread::sleep_for(2 * suspicion_time);  // The cut itself.
  await_more(100);
  std::cout << "a node was cut off from the others: across the cut an answer took " << there.get().count() << " ms and "
            << back.get().count() << " ms\n";
  everybody_lives();
  net.restore();
  await_more(100);
  everybody_lives();
  audit_all();
  // Nobody can have missed that they listen on a network without TLS.
  BOOST_TEST((nodes[0].errors().find("INSECURE") != std::string::npos), nodes[0].errors());
}

BOOST_AUTO_TEST_CASE(a_node_without_its_database_is_replaced_and_ends_when_it_reads_that) {
  const auto asked = client_at(0);
  const stopwatch since;
  cut(node_at(1), database_host);
  auto answer = ask(*asked, 1);
  await_death_of(1);
  const auto found_out = since.elapsed();
  const auto answered = answer.get();
  BOOST_TEST(alive(0) == (std::set<std::string>{node_at(0), node_at(2)}), boost::test_tools::per_element());
  await_more(100);
  net.restore();
  const auto ended = end_of(1);
  await_more(100);
  std::cout << "a node was cut off from its database: what it owned answered after " << answered.count()
            << " ms, it was declared dead within " << found_out.count() << " ms and ended " << ended.count()
            << " ms after the cut was mended\n";
  audit_all();
}

// The node is there, greets, and knows no better than that all are alive.
BOOST_AUTO_TEST_CASE(a_client_of_a_node_without_its_database_is_answered_by_another) {
  const auto asked = client_at(1);
  cut(node_at(1), database_host);
  const auto answered = time_to_answer(*asked, 1);
  net.restore();
  (void)end_of(1);
  std::cout << "a client's node was cut off from its database: what it owned answered after " << answered.count() << " ms\n";
  audit_all();
}

BOOST_AUTO_TEST_CASE(a_client_that_cannot_reach_its_node_is_answered_by_another) {
  const auto asked = client_at(1);
  (void)time_to_answer(*asked, 1);
  cut(clients_host, node_at(1));
  const auto at_first = time_to_answer(*asked, 1);
  const auto later = time_to_answer(*asked, 1);
  await_more(100);
  everybody_lives();
  net.restore();
  await_more(100);
  everybody_lives();
  std::cout << "clients were cut off from a node: what it owned answered after " << at_first.count() << " ms, and then after "
            << later.count() << " ms\n";
  audit_all();
}

BOOST_AUTO_TEST_CASE(a_node_whose_link_is_down_is_replaced_and_ends_when_it_is_back) {
  const auto asked = client_at(1);
  const stopwatch since;
  net.unplug(node_at(1));
  auto answer = ask(*asked, 1);
  await_death_of(1);
  const auto found_out = since.elapsed();
  const auto answered = answer.get();
  await_more(100);
  net.restore();
  const auto ended = end_of(1);
  await_more(100);
  std::cout << "the link of a node was down: what it owned answered after " << answered.count() << " ms, it was declared dead within "
            << found_out.count() << " ms and ended " << ended.count() << " ms after the link was up again\n";
  audit_all();
}

BOOST_AUTO_TEST_CASE(everything_stays_right_on_a_slow_link) {
  net.slow_down(node_at(1), "1mbit");
  await_more(200);
  const auto asked = client_at(0);
  std::cout << "the link of a node carried 1 Mbit/s: what it owned answered after " << time_to_answer(*asked, 1).count() << " ms\n";
  net.restore();
  if (net.delay(node_at(1), "50ms")) {
    await_more(200);
    std::cout << "the link of a node took 50 ms: what it owned answered after " << time_to_answer(*asked, 1).count() << " ms\n";
  } else {
    std::cout << "skipped: a link that takes its time: this kernel has no netem\n";
  }
  audit_all();
}

BOOST_AUTO_TEST_SUITE_END()
