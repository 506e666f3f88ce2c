// A connection to a node by somebody who is no client of ours: bytes, as TCP brings them.
#pragma once

#include "process.hpp"

#include <maestro/runtime/node_link.hpp>
#include <maestro/runtime/tcp.hpp>

#include <boost/test/unit_test.hpp>

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace maestro::test {

class raw_connection {
 public:
  explicit raw_connection(const node_address& node) : socket_(connect(node)) {}

  /// Sends `bytes`, as far as the node takes them: it may have hung up.
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      if (!socket_.wait(false, deadline())) return;
      const auto sent = ::send(socket_.descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  /// Reads until the node hangs up; false when it does not. What has come is in `received`.
  [[nodiscard]] auto is_hung_up(std::chrono::milliseconds within = patience) -> bool {
    const auto until = std::chrono::steady_clock::now() + within;
    std::string buffer(65'536, '\0');
    while (socket_.wait(true, until)) {
      const auto got = ::recv(socket_.descriptor(), buffer.data(), buffer.size(), 0);
      if (got <= 0) return true;
      received_.append(buffer, 0, static_cast<std::size_t>(got));
    }
    return false;
  }
  [[nodiscard]] auto received() const -> const std::string& { return received_; }
  [[nodiscard]] auto descriptor() const -> int { return socket_.descriptor(); }

 private:
  static auto deadline() -> std::chrono::steady_clock::time_point { return std::chrono::steady_clock::now() + patience; }
  static auto connect(const node_address& node) -> tcp_socket {
    auto connected = connect_tcp(node.host, node.port, deadline());
    BOOST_TEST_REQUIRE(connected.has_value());
    return std::move(*connected);
  }

  tcp_socket socket_;
  std::string received_;
};

/// The header of a message in CAF's protocol (BASP), whose kinds are 0 to 6: server and client handshake, direct and routed message,
/// monitor, down, heartbeat.
inline auto basp_header(std::uint8_t kind, std::uint32_t payload_bytes, std::uint64_t data = 0, std::uint64_t source = 0,
                        std::uint64_t destination = 0, std::uint8_t flags = 0) -> std::string {
  std::string bytes{static_cast<char>(kind), 0, 0, static_cast<char>(flags)};
  const auto append = [&bytes](std::uint64_t number, int size) {
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  };
  append(payload_bytes, 4);
  append(data, 8);
  append(source, 8);
  append(destination, 8);
  return bytes;
}

}  // namespace maestro::test
