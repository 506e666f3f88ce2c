// Three nodes, their database and the network between them, under load, through whatever can become of them: every command that was
// accepted is in the log once and whole, none that was refused is, sequences have no gap, the projections equal the fold of the events, no
// transfer has lost or made money, and every caller is answered in time. Real processes, a real server, real signals, real network
// namespaces where there can be any (network.hpp); the nodes' clocks differ by minutes.
//
// MAESTRO_TEST_MINUTES makes it longer (test/chaos does), MAESTRO_TEST_SEED repeats what was chosen, MAESTRO_TEST_NET says whether the
// network has faults: yes, no, or, as it does by default, auto.
#include "audit.hpp"
#include "customers.hpp"
#include "network.hpp"
#include "node_group.hpp"
#include "sender.hpp"

#include "../store/dice.hpp"
#include "../store/own_server.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

namespace {

// What the nodes are on: null is loopback, and `why` says why.
struct ground {
  network* net = nullptr;
  std::string why;
};

// The first thread lives with the database from here on, where the server is started.
auto find_ground() -> ground {
  const char* given = std::getenv("MAESTRO_TEST_NET");
  const std::string wanted = given != nullptr && *given != '\0' ? given : "auto";
  BOOST_TEST_REQUIRE((wanted == "yes" || wanted == "no" || wanted == "auto"), "MAESTRO_TEST_NET is yes, no or auto");
  if (wanted == "no") return {nullptr, "not asked for"};
  if (const auto why = network::obstacle(); !why.empty()) {
    BOOST_TEST_REQUIRE((wanted == "auto"), "the network cannot have faults here: " << why);
    return {nullptr, why};
  }
  static network made(node_group::hosts());
  static const network::visit home(made, node_group::database_host);
  own_server::listen_on(made.address_of(node_group::database_host));
  return {&made, {}};
}

class troubled_cluster {
 public:
  troubled_cluster(network* net, std::uint64_t seed) : random_(seed), net_(net), nodes_(net) {}

  struct fault {
    std::string name;
    std::function<void()> happen;
    int times = 0;
  };

  [[nodiscard]] auto nodes() -> node_group& { return nodes_; }
  [[nodiscard]] auto faults() -> std::vector<fault>& { return faults_; }
  /// None of these happens without a network.
  [[nodiscard]] auto network_faults() -> std::vector<fault>& { return network_faults_; }

  void let(fault& happen) {
    std::this_thread::sleep_for(pick(0, 400));
    nodes_.start_who_has_ended();
    ++happen.times;
    happen.happen();
  }
  void let_each() {
    for (auto& each : faults_) let(each);
    if (net_ == nullptr) return;
    for (auto& each : network_faults_) let(each);
  }
  void let_any() {
    const auto index = index_below(faults_.size() + (net_ != nullptr ? network_faults_.size() : 0));
    let(index < faults_.size() ? faults_[index] : network_faults_[index - faults_.size()]);
  }

  /// While it lives, its thread is where clients are.
  [[nodiscard]] auto visit_clients() -> std::unique_ptr<network::visit> {
    return net_ != nullptr ? std::make_unique<network::visit>(*net_, node_group::clients_host) : nullptr;
  }

 private:
  auto pick(std::int64_t low, std::int64_t high) -> std::chrono::milliseconds {
    return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(low, high)(random_));
  }
  auto index_below(std::size_t count) -> std::size_t {
    return static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(count) - 1).count());
  }
  auto any_node() -> std::size_t { return index_below(node_group::size); }
  auto any_host() -> std::string { return node_group::name_of(any_node()); }

  void kill() {
    const auto index = any_node();
    nodes_[index].send_signal(SIGKILL);
    (void)nodes_[index].wait();
    std::this_thread::sleep_for(pick(0, 1'500));
    nodes_.start(index);
  }
  void freeze(std::int64_t low, std::int64_t high) {
    const auto index = any_node();
    nodes_[index].send_signal(SIGSTOP);
    std::this_thread::sleep_for(pick(low, high));
    nodes_[index].send_signal(SIGCONT);
  }
  void restart() {
    const auto index = any_node();
    nodes_[index].send_signal(SIGTERM);
    const auto status = nodes_[index].wait();
    const bool ended_well = status == 0 || node_group::was_taken_for_dead(nodes_[index], status);
    BOOST_TEST(ended_well, "a node did not end well: " << nodes_[index].errors());
    std::this_thread::sleep_for(pick(0, 500));
    nodes_.start(index);
  }
  void restart_database(const std::function<void()>& stop) {
    stop();
    std::this_thread::sleep_for(pick(0, 3'000));
    own_server::get().start();
  }
  void kill_backend() {
    const auto backends = own_server::get().backends(nodes_.store().name());
    if (!backends.empty()) own_server::kill_backend(backends[index_below(backends.size())]);
  }

  void cut(const std::string& host, const std::vector<std::string>& others, std::int64_t low, std::int64_t high) {
    for (const auto& other : others)
      if (other != host) net_->cut(host, other);
    std::this_thread::sleep_for(pick(low, high));
    net_->restore();
  }
  void cut_off_from_one() {
    const auto index = any_node();
    cut(node_group::name_of(index), {node_group::name_of((index + 1) % node_group::size)}, 100, 5'000);
  }
  void unplug() {
    net_->unplug(any_host());
    std::this_thread::sleep_for(pick(100, 5'000));
    net_->restore();
  }
  void slow_down() {
    net_->slow_down(any_host(), "1mbit");
    std::this_thread::sleep_for(pick(1'000, 5'000));
    net_->restore();
  }

  std::mt19937_64 random_;
  network* net_;
  node_group nodes_;
  std::vector<fault> faults_{
      {"node killed (SIGKILL) and started again", [this] { kill(); }},
      {"node stopped (SIGSTOP) for less than the suspicion time", [this] { freeze(50, 1'000); }},
      {"node stopped for longer", [this] { freeze(2'500, 5'000); }},
      {"node told to leave (SIGTERM) and started again", [this] { restart(); }},
      {"database restarted", [this] { restart_database([] { own_server::get().stop_fast(); }); }},
      {"database crashed (immediate shutdown) and started again", [this] { restart_database([] { own_server::get().stop_immediately(); }); }},
      {"database killed (SIGKILL) and started again", [this] { restart_database([] { own_server::get().kill(); }); }},
      {"database backend killed (SIGKILL)", [this] { kill_backend(); }},
  };
  std::vector<fault> network_faults_{
      {"node cut off from another node", [this] { cut_off_from_one(); }},
      {"node cut off from all other nodes",
       [this] { cut(any_host(), {node_group::name_of(0), node_group::name_of(1), node_group::name_of(2)}, 100, 5'000); }},
      {"node cut off from the database for less than the suspicion time",
       [this] { cut(any_host(), {node_group::database_host}, 50, 1'000); }},
      {"node cut off from the database for longer", [this] { cut(any_host(), {node_group::database_host}, 2'500, 5'000); }},
      {"clients cut off from a node", [this] { cut(any_host(), {node_group::clients_host}, 100, 5'000); }},
      {"link of a node down", [this] { unplug(); }},
      {"link of a node slow (1 Mbit/s)", [this] { slow_down(); }},
  };
};

auto minutes() -> std::chrono::minutes {
  const char* given = std::getenv("MAESTRO_TEST_MINUTES");
  return std::chrono::minutes(given != nullptr && *given != '\0' ? std::stoll(given) : 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chaos)

BOOST_AUTO_TEST_CASE(whatever_happens_each_command_is_carried_out_once_or_not_at_all) {
  const auto seed = test_seed();
  const auto where = find_ground();
  troubled_cluster cluster(where.net, seed);
  std::deque<sent_command> all;
  std::chrono::milliseconds longest{0};
  std::size_t doubts = 0;
  {
    std::vector<std::unique_ptr<sender>> senders;
    std::unique_ptr<customers> payers;
    {
      const auto at_clients = cluster.visit_clients();
      for (std::uint64_t i = 1; i <= 3; ++i) senders.push_back(std::make_unique<sender>(cluster.nodes().addresses(), seed + i));
      payers = std::make_unique<customers>(cluster.nodes().addresses(), seed, client_settings{}.timeout);
    }
    // Each once, and then as chance has it.
    cluster.let_each();
    const auto until = std::chrono::steady_clock::now() + minutes();
    while (std::chrono::steady_clock::now() < until) cluster.let_any();
    for (auto& each : senders) each->stop();
    payers->stop();
    cluster.nodes().start_who_has_ended();
    for (auto& each : senders) each->settle();
    payers->wait_until_over();
    for (auto& each : senders) {
      all.insert(all.end(), each->commands().begin(), each->commands().end());
      longest = std::max(longest, each->longest());
      doubts += each->doubts();
    }
    all.insert(all.end(), payers->commands().begin(), payers->commands().end());
    longest = std::max(longest, payers->longest());
  }
  cluster.nodes().end();

  const auto log = open_database(cluster.nodes().store().uri()).value();
  audit_counts counts;
  try {
    counts = audit(*log->open_reader(), all);
  } catch (const audit_fault& fault) {
    BOOST_FAIL(fault.what());
  }
  BOOST_TEST(counts.landed + counts.lost == 0U);
  const auto accepted = std::count_if(all.begin(), all.end(), [](const sent_command& each) { return each.known == verdict::accepted; });
  const auto& transfers = counts.transfers;
  const auto line = [](auto number) -> std::ostream& { return std::cout << std::setw(7) << number << "  "; };
  for (const auto& each : cluster.faults()) line(each.times) << each.name << '\n';
  for (const auto& each : cluster.network_faults())
    line(each.times) << each.name << (where.net == nullptr ? " (not injected: " + where.why + ")" : "") << '\n';
  line(cluster.nodes().taken_for_dead()) << "nodes taken for dead by the others, which ended by themselves\n";
  line(all.size()) << "commands, each checked against the log: " << accepted << " accepted, "
                   << static_cast<std::ptrdiff_t>(all.size()) - accepted << " refused; " << doubts << " answers left one in doubt\n";
  line(counts.events) << "events, without a gap, and the projections equal to their fold\n";
  line(transfers.all()) << "transfers, each gone one way: " << transfers.delivered << " delivered, " << transfers.declined << " declined, "
                        << transfers.returned << " returned\n";
  line(counts.cents) << "cents on all accounts, as many as were deposited and not withdrawn\n";
  line(longest.count()) << "milliseconds for the longest answer" << std::endl;
  BOOST_TEST(accepted > 100);
  BOOST_TEST(transfers.delivered > 0U);
  // The client's timeout, and what a slow machine takes to keep it.
  BOOST_TEST((longest < client_settings{}.timeout + 5s), "an answer took " << longest.count() << " ms");
}

BOOST_AUTO_TEST_SUITE_END()
