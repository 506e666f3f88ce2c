#include "mortal_nodes.hpp"

#include "../store/free_port.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdlib>
#include <thread>
#include <utility>

namespace maestro::test {

auto test_rounds(std::uint64_t otherwise) -> std::uint64_t {
  const char* given = std::getenv("MAESTRO_TEST_ROUNDS");
  return given != nullptr && *given != '\0' ? std::stoull(given) : otherwise;
}

mortal_nodes::mortal_nodes(std::string uri, std::uint64_t seed, std::string program)
    : uri_(std::move(uri)), program_(std::move(program)), random_(seed) {
  const std::size_t count = uri_.starts_with("sqlite:") ? 1 : 2;
  for (std::size_t i = 0; i < count; ++i) {
    addresses_.push_back({"127.0.0.1", free_port()});
    nodes_.emplace_back();
    start(i);
  }
}

void mortal_nodes::start(std::size_t index) {
  // Their clocks differ, from each other's and from the clients'.
  const std::string offset = index % 2 == 0 ? "-3s" : "4s";
  nodes_[index] = std::make_unique<process>(std::vector<std::string>{
      program_, "--port=" + std::to_string(addresses_[index].port), "--store=" + uri_, "--log.level=error", "--clock.offset=" + offset});
  BOOST_TEST_REQUIRE(nodes_[index]->wait_for_line("ready ").has_value(), "the node does not serve: " << nodes_[index]->errors());
}

auto mortal_nodes::was_taken_for_dead(std::size_t index, std::optional<int> status) -> bool {
  return status == 1 && nodes_[index]->errors().find("dead") != std::string::npos;
}

void mortal_nodes::start_again_who_was_taken_for_dead() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto status = nodes_[i]->wait(std::chrono::milliseconds(0));
    if (!status) continue;
    BOOST_TEST(was_taken_for_dead(i, status), "a node has ended: " << nodes_[i]->errors());
    start(i);
  }
}

void mortal_nodes::harm_one() {
  std::this_thread::sleep_for(std::chrono::milliseconds(pick(0, longest_peace.count())));
  start_again_who_was_taken_for_dead();
  const auto index = static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(nodes_.size()) - 1));
  if (pick(1, 3) > 1) {
    ++kills_;
    nodes_[index]->send_signal(SIGKILL);
    const auto status = nodes_[index]->wait();  // It may just have ended by itself.
    BOOST_TEST((status == 128 + SIGKILL || was_taken_for_dead(index, status)), "a node has ended: " << nodes_[index]->errors());
    start(index);
  } else {
    ++freezes_;
    nodes_[index]->send_signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(pick(0, longest_freeze.count())));
    nodes_[index]->send_signal(SIGCONT);
  }
}

void mortal_nodes::end() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i]->send_signal(SIGTERM);
    const auto status = nodes_[i]->wait();
    BOOST_TEST((status == 0 || was_taken_for_dead(i, status)), "a node did not end well: " << nodes_[i]->errors());
  }
}

}  // namespace maestro::test
