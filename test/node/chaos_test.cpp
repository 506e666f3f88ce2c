// Three nodes and their database, under load, through whatever can become of them: every command that was accepted is in the log once and
// whole, none that was refused is, sequences have no gap, the projections equal the fold of the events, and every caller is answered in
// time. Real processes, a real server, real signals; the nodes' clocks differ by minutes.
//
// MAESTRO_TEST_MINUTES makes it longer (test/chaos does), MAESTRO_TEST_SEED repeats what was chosen.
#include "audit.hpp"
#include "process.hpp"
#include "sender.hpp"

#include "../store/dice.hpp"
#include "../store/free_port.hpp"
#include "../store/own_server.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

auto maestro::test::stores_under_test() -> std::vector<store_under_test> { return {}; }

namespace {

class troubled_cluster {
 public:
  static constexpr std::size_t size = 3;

  explicit troubled_cluster(std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < size; ++i) {
      addresses_.push_back({"127.0.0.1", free_port()});
      nodes_.emplace_back();
      start(i);
    }
  }

  struct fault {
    std::string name;
    std::function<void()> happen;
    int times = 0;
  };

  [[nodiscard]] auto addresses() const -> const std::vector<node_address>& { return addresses_; }
  [[nodiscard]] auto uri() const -> std::string { return store_.uri(); }
  [[nodiscard]] auto faults() -> std::vector<fault>& { return faults_; }
  [[nodiscard]] auto taken_for_dead() const -> int { return taken_for_dead_; }

  void let(fault& happen) {
    std::this_thread::sleep_for(pick(0, 400));
    start_who_has_ended();
    ++happen.times;
    happen.happen();
  }
  auto any() -> fault& { return faults_.at(index_below(faults_.size())); }

  void end() {
    start_who_has_ended();
    for (auto& node : nodes_) {
      node->send_signal(SIGTERM);
      const auto status = node->wait();
      BOOST_TEST((status == 0 || was_taken_for_dead(*node, status)), "a node did not end well: " << node->errors());
    }
  }

 private:
  auto pick(std::int64_t low, std::int64_t high) -> std::chrono::milliseconds {
    return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(low, high)(random_));
  }
  auto index_below(std::size_t count) -> std::size_t { return static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(count) - 1).count()); }
  auto any_node() -> std::size_t { return index_below(size); }

  // As whoever watches over it would: one that finds the database away or in recovery says so (status 4), and is started again.
  void start(std::size_t index) {
    const std::array<const char*, size> offsets{"-2min", "0s", "2min"};
    const std::vector<std::string> command{
        MAESTRO_TEST_NODE, "--port=" + std::to_string(addresses_[index].port), "--node.name=node" + std::to_string(index),
        "--store=" + store_.uri(), "--log.level=error", std::string("--clock.offset=") + offsets[index]};
    await("a node to serve", [&] {
      nodes_[index] = std::make_unique<process>(command);
      if (nodes_[index]->wait_for_line("ready ")) return true;
      const auto status = nodes_[index]->wait();
      BOOST_TEST_REQUIRE((status == 4), "node" << index << " does not serve: " << nodes_[index]->errors());
      return false;
    });
  }
  static auto was_taken_for_dead(const process& node, std::optional<int> status) -> bool {
    return status == 1 && node.errors().find("have declared") != std::string::npos;
  }
  void start_who_has_ended() {
    for (std::size_t i = 0; i < size; ++i) {
      const auto status = nodes_[i]->wait(0ms);
      if (!status) continue;
      BOOST_TEST(was_taken_for_dead(*nodes_[i], status), "a node has ended: " << nodes_[i]->errors());
      ++taken_for_dead_;
      start(i);
    }
  }

  void kill() {
    const auto index = any_node();
    nodes_[index]->send_signal(SIGKILL);
    (void)nodes_[index]->wait();
    std::this_thread::sleep_for(pick(0, 1'500));
    start(index);
  }
  void freeze(std::int64_t low, std::int64_t high) {
    const auto index = any_node();
    nodes_[index]->send_signal(SIGSTOP);
    std::this_thread::sleep_for(pick(low, high));
    nodes_[index]->send_signal(SIGCONT);
  }
  void restart() {
    const auto index = any_node();
    nodes_[index]->send_signal(SIGTERM);
    const auto status = nodes_[index]->wait();
    BOOST_TEST((status == 0 || was_taken_for_dead(*nodes_[index], status)), "a node did not end well: " << nodes_[index]->errors());
    std::this_thread::sleep_for(pick(0, 500));
    start(index);
  }
  void restart_database(const std::function<void()>& stop) {
    stop();
    std::this_thread::sleep_for(pick(0, 3'000));
    own_server::get().start();
  }
  void kill_backend() {
    const auto backends = own_server::get().backends(store_.name());
    if (!backends.empty()) own_server::kill_backend(backends[index_below(backends.size())]);
  }

  std::mt19937_64 random_;
  own_place store_;
  std::vector<node_address> addresses_;
  std::vector<std::unique_ptr<process>> nodes_;
  int taken_for_dead_ = 0;
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
};

auto minutes() -> std::chrono::minutes {
  const char* given = std::getenv("MAESTRO_TEST_MINUTES");
  return std::chrono::minutes(given != nullptr && *given != '\0' ? std::stoll(given) : 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chaos)

BOOST_AUTO_TEST_CASE(whatever_happens_each_command_is_carried_out_once_or_not_at_all) {
  const auto seed = test_seed();
  troubled_cluster cluster(seed);
  std::deque<sent_command> all;
  std::chrono::milliseconds longest{0};
  {
    std::vector<std::unique_ptr<sender>> senders;
    for (std::uint64_t i = 1; i <= 3; ++i) senders.push_back(std::make_unique<sender>(cluster.addresses(), seed + i));
    // Each once, and then as chance has it.
    for (auto& each : cluster.faults()) cluster.let(each);
    const auto until = std::chrono::steady_clock::now() + minutes();
    while (std::chrono::steady_clock::now() < until) cluster.let(cluster.any());
    for (auto& each : senders) each->stop();
    for (auto& each : senders) each->settle();
    for (auto& each : senders) {
      all.insert(all.end(), each->commands().begin(), each->commands().end());
      longest = std::max(longest, each->longest());
    }
  }
  cluster.end();

  const auto where = open_database(cluster.uri()).value();
  audit_counts counts;
  try {
    counts = audit(*where->open_reader(), all);
  } catch (const audit_fault& fault) {
    BOOST_FAIL(fault.what());
  }
  BOOST_TEST(counts.landed + counts.lost == 0U);
  std::size_t accepted = 0;
  for (const auto& each : all) accepted += each.known == verdict::accepted ? 1U : 0U;
  for (const auto& each : cluster.faults()) std::cout << std::setw(7) << each.times << "  " << each.name << '\n';
  std::cout << std::setw(7) << cluster.taken_for_dead() << "  nodes taken for dead by the others, which ended by themselves\n"
            << std::setw(7) << all.size() << "  commands, each checked against the log: " << accepted << " accepted, " << all.size() - accepted
            << " refused\n"
            << std::setw(7) << counts.events << "  events, without a gap, and the projections equal to their fold\n"
            << std::setw(7) << longest.count() << "  milliseconds for the longest answer" << std::endl;
  BOOST_TEST(accepted > 100U);
  // The client's timeout, and what a slow machine takes to keep it.
  BOOST_TEST((longest < client_settings{}.timeout + 5s), "an answer took " << longest.count() << " ms");
}

BOOST_AUTO_TEST_SUITE_END()
