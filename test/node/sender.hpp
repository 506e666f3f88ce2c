// A client with a load of its own, on a thread of its own.
#pragma once

#include "load.hpp"

#include <maestro/runtime/client.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace maestro::test {

// Sends until told to stop, then until nothing is in doubt.
class sender {
 public:
  sender(const std::vector<node_address>& addresses, std::uint64_t seed) : work_(seed, load::attempts::many) {
    auto connected = client::connect(addresses);
    BOOST_TEST_REQUIRE(connected.has_value());
    client_ = std::move(*connected);
    thread_ = std::thread([this] {
      while (!enough_ && answered_) {
        work_.send(*client_, 50);
        answered_ = work_.settle();
      }
    });
  }
  ~sender() { stop(); }
  void stop() {
    enough_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void settle() {
    BOOST_TEST_REQUIRE(answered_, "a command was left without any answer");
    work_.send(*client_, work_.in_doubt());
    BOOST_TEST_REQUIRE(work_.settle(), "a command was left without any answer");
    BOOST_TEST(work_.in_doubt() == 0U);
  }
  [[nodiscard]] auto answered() const -> std::size_t { return work_.answered(); }
  [[nodiscard]] auto doubts() const -> std::size_t { return work_.doubts(); }
  [[nodiscard]] auto longest() const -> std::chrono::milliseconds { return work_.longest(); }
  [[nodiscard]] auto commands() const -> const std::deque<sent_command>& { return work_.commands(); }

 private:
  load work_;
  std::unique_ptr<client> client_;
  std::atomic<bool> enough_{false};
  bool answered_ = true;  // Everything that was sent; known after `stop`.
  std::thread thread_;
};

}  // namespace maestro::test
