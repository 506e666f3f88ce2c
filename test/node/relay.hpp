// What stands between a client and a node, or in a node's place, on a port of this machine.
#pragma once

#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/tcp.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace maestro::test {

/// Takes connections on a free port, and hands each to `serve`, one after the other, on a thread of its own.
class listening_port {
 public:
  explicit listening_port(std::function<void(tcp_socket)> serve);
  ~listening_port();
  listening_port(const listening_port&) = delete;
  auto operator=(const listening_port&) -> listening_port& = delete;

  [[nodiscard]] auto address() const -> const node_address& { return address_; }

 private:
  node_address address_;
  tcp_socket listener_;  // Bound at the address, which is set with it.
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// Passes everything on between those who connect and the node, except answers while they are stalled, on connections that it does not lose.
class relay {
 public:
  explicit relay(node_address node);
  ~relay();
  relay(const relay&) = delete;
  auto operator=(const relay&) -> relay& = delete;

  [[nodiscard]] auto address() const -> const node_address& { return port_.address(); }
  void stall_answers(bool stall) { stalled_ = stall; }
  /// From now on it passes on so much of what the client, and as much of what the node sends, now and then.
  void slow_down(std::size_t bytes, std::chrono::milliseconds pause) {
    pause_ = pause;
    most_ = bytes;
  }
  /// Ends so many connections when the client, to whom the node has introduced itself, says its first words.
  void lose_when_introduced(int connections) { to_lose_ = connections; }
  /// How many connections have been taken.
  [[nodiscard]] auto taken() const -> int { return taken_; }

 private:
  void pass(const tcp_socket& client, const tcp_socket& node, bool to_be_lost) const;

  const node_address node_;
  std::atomic<bool> stalled_{false};
  std::atomic<std::chrono::milliseconds> pause_{};
  std::atomic<std::size_t> most_{0};  // 0: all at once.
  std::atomic<int> to_lose_{0};
  std::atomic<int> taken_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> wires_;  // Made by the port's thread, which is gone when they are joined.
  listening_port port_;
};

/// Greets everybody who connects with the same bytes, and says no more.
class impostor {
 public:
  explicit impostor(std::string greeting);
  [[nodiscard]] auto address() const -> const node_address& { return port_.address(); }

 private:
  listening_port port_;
};

}  // namespace maestro::test
