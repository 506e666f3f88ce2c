// Three nodes of one cluster, on a server that may be hurt, on loopback or each on a host of a network of the test's own.
#pragma once

#include "network.hpp"
#include "process.hpp"

#include "../store/own_server.hpp"

#include <maestro/runtime/node_link.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace maestro::test {

/// Node 0, 1 and 2 keep their names and addresses whenever they are started again. For the program's first thread.
class node_group {
 public:
  static constexpr std::size_t size = 3;
  /// The hosts that a network needs for it: the nodes', each called as its node is, the server's, and one for whoever talks to the nodes.
  static auto hosts() -> std::vector<std::string> { return {name_of(0), name_of(1), name_of(2), database_host, clients_host}; }
  static constexpr const char* database_host = "database";
  static constexpr const char* clients_host = "clients";

  /// All run when the constructor returns. Without a network they are on loopback; with one, the caller is on the server's host, and the
  /// server listens there.
  explicit node_group(network* on);

  [[nodiscard]] auto operator[](std::size_t index) -> process& { return *nodes_.at(index); }
  [[nodiscard]] static auto name_of(std::size_t index) -> std::string { return "node" + std::to_string(index); }
  [[nodiscard]] auto addresses() const -> const std::vector<node_address>& { return addresses_; }
  [[nodiscard]] auto store() -> own_place& { return store_; }

  /// As whoever watches over it would: one that finds the database away or in recovery says so (status 4), and is started again.
  void start(std::size_t index);
  /// Starts those that the others have taken for dead, and which have ended for it. None may have ended for another reason.
  void start_who_has_ended();
  /// How many such there were.
  [[nodiscard]] auto taken_for_dead() const -> int { return taken_for_dead_; }
  [[nodiscard]] static auto was_taken_for_dead(const process& node, std::optional<int> status) -> bool;
  /// Ends all as SIGTERM does.
  void end();

 private:
  void launch(std::size_t index);
  void await_service(std::size_t index);

  network* on_;
  own_place store_;
  std::vector<node_address> addresses_;
  std::array<std::unique_ptr<process>, size> nodes_;
  int taken_for_dead_ = 0;
};

}  // namespace maestro::test
