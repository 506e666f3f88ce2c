// A node program as a child process, and the maestro command to talk to it.
#pragma once

#include "process.hpp"

#include <maestro/runtime/client.hpp>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace maestro::test {

/// A test node (test_node.cpp) on a free port of this machine that serves when the constructor returns.
class node_process {
 public:
  /// `program` is the command line that `more` is added to.
  explicit node_process(const std::string& store_uri, const std::vector<std::string>& more = {},
                        std::vector<std::string> program = {MAESTRO_TEST_NODE})
      : child_(command(store_uri, more, std::move(program))) {
    const auto ready = child_.wait_for_line("ready ");
    BOOST_TEST_REQUIRE(ready.has_value(), "the node does not serve: " << child_.errors());
    const auto text = ready->substr(6, ready->find(' ', 6) - 6);
    const auto parsed = node_address::parse(text);
    BOOST_TEST_REQUIRE(parsed.has_value(), "no address in: " << *ready);
    address_ = *parsed;
  }

  [[nodiscard]] static auto command(const std::string& store_uri, const std::vector<std::string>& more = {},
                                    std::vector<std::string> program = {MAESTRO_TEST_NODE}) -> std::vector<std::string> {
    auto all = std::move(program);
    all.insert(all.end(), {"--port=0", "--store=" + store_uri, "--log.level=error"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  [[nodiscard]] auto address() const -> const node_address& { return address_; }
  [[nodiscard]] auto connect(std::chrono::milliseconds timeout = patience) const -> std::unique_ptr<client> {
    auto connected = client::connect(address_, {timeout});
    BOOST_TEST_REQUIRE(connected.has_value(), "no connection to " << address_.text() << ": " << (connected ? "" : to_string(connected.failure())));
    return std::move(*connected);
  }

  /// Ends it as `signal` makes it end, and returns its exit status.
  auto end(int signal = SIGTERM) -> int {
    child_.send_signal(signal);
    const auto status = child_.wait();
    BOOST_TEST_REQUIRE(status.has_value(), "the node does not end");
    return *status;
  }
  [[nodiscard]] auto child() -> process& { return child_; }

  /// Runs `maestro VERB --node ADDRESS ARGUMENT...`.
  [[nodiscard]] auto maestro(const std::string& verb, const std::vector<std::string>& arguments) const
      -> finished_process {
    std::vector<std::string> all{MAESTRO_COMMAND, verb, "--node", address_.text()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run(all);
  }

 private:
  process child_;
  node_address address_;
};

}  // namespace maestro::test
