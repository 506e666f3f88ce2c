#include "node_group.hpp"

#include "../store/free_port.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

namespace maestro::test {

namespace {

constexpr std::uint16_t port_on_own_host = 4242;
// The nodes' clocks differ by minutes.
constexpr std::array<const char*, node_group::size> clock_offsets{"-2min", "0s", "2min"};

}  // namespace

node_group::node_group(network* on) : on_(on) {
  for (std::size_t i = 0; i < size; ++i) {
    if (on_ != nullptr) addresses_.push_back({on_->address_of(name_of(i)), port_on_own_host});
    else addresses_.push_back({"127.0.0.1", free_port()});
    launch(i);
  }
  for (std::size_t i = 0; i < size; ++i) await_service(i);
}

void node_group::start(std::size_t index) {
  launch(index);
  await_service(index);
}

void node_group::launch(std::size_t index) {
  const auto& address = addresses_[index];
  std::vector<std::string> command{MAESTRO_TEST_BANK_NODE, "--node.host=" + address.host, "--port=" + std::to_string(address.port),
                                   "--node.name=" + name_of(index), "--store=" + store_.uri(), "--log.level=error",
                                   std::string("--clock.offset=") + clock_offsets[index]};
  std::optional<network::visit> at_host;
  if (on_ != nullptr) {
    command.insert(command.end(), {"--node.insecure-listen=true", "--cluster.advertise=" + address.text()});
    at_host.emplace(*on_, name_of(index));
  }
  nodes_[index] = std::make_unique<process>(command);
}

void node_group::await_service(std::size_t index) {
  await("a node to serve", [&] {
    if (nodes_[index]->wait_for_line("ready ")) return true;
    const auto status = nodes_[index]->wait();
    BOOST_TEST_REQUIRE((status == 4), name_of(index) << " does not serve: " << nodes_[index]->errors());
    launch(index);
    return false;
  });
}

auto node_group::was_taken_for_dead(const process& node, std::optional<int> status) -> bool {
  return status == 1 && node.errors().find("have declared") != std::string::npos;
}

void node_group::start_who_has_ended() {
  for (std::size_t i = 0; i < size; ++i) {
    const auto status = nodes_[i]->wait(std::chrono::milliseconds(0));
    if (!status) continue;
    BOOST_TEST(was_taken_for_dead(*nodes_[i], status), name_of(i) << " has ended with " << *status << ": " << nodes_[i]->errors());
    ++taken_for_dead_;
    start(i);
  }
}

void node_group::end() {
  start_who_has_ended();
  for (auto& node : nodes_) {
    node->send_signal(SIGTERM);
    const auto status = node->wait();
    BOOST_TEST((status == 0 || was_taken_for_dead(*node, status)), "a node did not end well: " << node->errors());
  }
}

}  // namespace maestro::test
