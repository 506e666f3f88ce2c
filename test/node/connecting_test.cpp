// Clients that try to connect to what does not answer, or give up too early: each is told so in time, and ends.
#include "load.hpp"
#include "node_process.hpp"
#include "relay.hpp"

#include "../store/dice.hpp"

#include <maestro/runtime/network_end.hpp>

#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>

#include <boost/test/unit_test.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

// A listener whose queue is full: who connects hears nothing, as from an address behind a firewall.
class silent_port {
 public:
  silent_port() : listener_(make_socket()) {
    BOOST_TEST_REQUIRE(::bind(listener_, address(), sizeof address_) == 0);
    BOOST_TEST_REQUIRE(::listen(listener_, 0) == 0);
    socklen_t size = sizeof address_;
    BOOST_TEST_REQUIRE(::getsockname(listener_, address(), &size) == 0);
    // The first ones are taken by the queue.
    for (int i = 0; i < 4; ++i) (void)::connect(waiting_.emplace_back(make_socket()), address(), sizeof address_);
  }
  ~silent_port() {
    for (const int each : waiting_) ::close(each);
    ::close(listener_);
  }
  silent_port(const silent_port&) = delete;
  auto operator=(const silent_port&) -> silent_port& = delete;

  [[nodiscard]] auto node() const -> node_address { return {"127.0.0.1", ntohs(address_.sin_port)}; }

 private:
  static auto make_socket() -> int { return ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
  auto address() -> sockaddr* { return reinterpret_cast<sockaddr*>(&address_); }

  sockaddr_in address_ = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
  int listener_;
  std::vector<int> waiting_;
};

// Keeps this thread, and the programs that it starts, on one core: what should run at the same time runs in turns.
class one_core {
 public:
  one_core() {
    ::sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t first;
    CPU_ZERO(&first);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&first) == 0; ++core)
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &first);
    ::sched_setaffinity(0, sizeof first, &first);
  }
  ~one_core() { ::sched_setaffinity(0, sizeof before_, &before_); }
  one_core(const one_core&) = delete;
  auto operator=(const one_core&) -> one_core& = delete;

 private:
  cpu_set_t before_{};
};

void check_no_node(const node_address& address, std::chrono::milliseconds timeout) {
  const auto connected = client::connect(address, {timeout});
  BOOST_TEST_REQUIRE(!connected.has_value());
  BOOST_TEST((connected.failure().code == errc::node_unavailable));
  BOOST_TEST((connected.failure().message.find(address.text()) != std::string::npos));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(connecting)

BOOST_AUTO_TEST_CASE(an_address_where_nobody_answers_is_given_up_in_time) {
  const silent_port nobody;
  const std::vector<std::string> get{MAESTRO_COMMAND, "get", "account", "name:alice", "--timeout=300", "--node", nobody.node().text()};
  BOOST_TEST(run(get).status == 4);  // The system itself would try for two minutes.
}

BOOST_AUTO_TEST_CASE(a_node_that_is_frozen_is_given_up_in_time) {
  node_process node("sqlite::memory:");
  node.child().send_signal(SIGSTOP);
  check_no_node(node.address(), std::chrono::milliseconds(200));
  node.child().send_signal(SIGCONT);
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(a_client_that_gives_up_while_it_connects_ends) {
  node_process node("sqlite::memory:");
  // Together they meet each moment of a connection that is being made.
  const one_core crowded;
  for (int i = 0; i < 60; ++i) {
    const std::vector<std::string> get{MAESTRO_COMMAND, "get", "account", "name:alice", "--node", node.address().text(),
                                       "--timeout=" + std::to_string(1 + i % 4)};
    const auto status = run(get).status;
    BOOST_TEST((status == 0 || status == 4));
  }
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(a_name_that_is_none_and_a_port_that_is_closed_are_told_apart_from_a_node) {
  check_no_node({"no-such-host.invalid", 4242}, patience);
  int port = 0;
  {
    node_process node("sqlite::memory:");
    port = node.address().port;
    BOOST_TEST(node.end() == 0);
  }
  check_no_node({"127.0.0.1", static_cast<std::uint16_t>(port)}, patience);
}

// CAF may take a new connection for one that was just closed, and then the node cannot answer on it.
BOOST_AUTO_TEST_CASE(clients_that_come_and_go_are_all_greeted_by_a_busy_node) {
  const node_process node("sqlite::memory:");
  const auto busy = node.connect();
  load work(test_seed());
  std::atomic<bool> enough{false};
  auto sending = std::async(std::launch::async, [&] {
    while (!enough) work.send(*busy, 100);
  });
  for (int i = 0; i < 150; ++i) {
    const auto connected = client::connect(node.address(), {std::chrono::milliseconds(10'000)});
    BOOST_TEST(connected.has_value(), "client " << i << ": " << (connected ? "" : to_string(connected.failure())));
  }
  enough = true;
  sending.get();
  BOOST_TEST(work.settle(), "a command was left without any answer");
}

// CAF takes a connection that it is making for one that has long been silent: a heartbeat that comes meanwhile ends it.
BOOST_AUTO_TEST_CASE(a_heartbeat_that_falls_into_the_connecting_does_no_harm) {
  struct frequent_heartbeats : caf::actor_system_config {
    frequent_heartbeats() {
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
      set("middleman.heartbeat-interval", caf::timespan(std::chrono::milliseconds(20)));
      set("middleman.connection-timeout", caf::timespan(std::chrono::seconds(10)));
    }
  };
  node_process node("sqlite::memory:");
  frequent_heartbeats settings;
  caf::actor_system system{settings};
  // It is long in answering, and the client does not give up.
  node.child().send_signal(SIGSTOP);
  auto connecting = std::async(std::launch::async, [&] { return client::connect(system, node.address(), {patience}).has_value(); });
  BOOST_TEST((connecting.wait_for(std::chrono::milliseconds(300)) == std::future_status::timeout));
  node.child().send_signal(SIGCONT);
  BOOST_TEST(connecting.get());
  settle_network(system);
}

// A node that is too busy to be heard for CAF's connection timeout loses who has just come, too.
BOOST_AUTO_TEST_CASE(a_connection_that_is_lost_before_the_node_has_greeted_is_made_again) {
  node_process node("sqlite::memory:");
  relay between(node.address());
  between.lose_when_introduced(2);
  const auto connected = client::connect(between.address(), {patience});
  BOOST_TEST(connected.has_value(), (connected ? "" : to_string(connected.failure())));
  BOOST_TEST(between.taken() == 3);
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_always_lost_is_given_up_in_time_and_said_to_be_lost) {
  node_process node("sqlite::memory:");
  relay between(node.address());
  between.lose_when_introduced(1'000'000);
  const auto connected = client::connect(between.address(), {std::chrono::milliseconds(1'000)});
  BOOST_TEST_REQUIRE(!connected.has_value());
  const auto failure = to_string(connected.failure());
  BOOST_TEST((connected.failure().code == errc::node_unavailable));
  BOOST_TEST((failure.find(between.address().text() + ": the connection was lost before it returned our greeting") != std::string::npos), failure);
  // It has tried again, with a pause each time.
  BOOST_TEST(between.taken() > 1);
  BOOST_TEST(between.taken() <= 10);
}

BOOST_AUTO_TEST_SUITE_END()
