// Whether somebody listens at an address, asked of the operating system with a deadline. CAF connects with none, on a thread
// that its shutdown waits for: an address behind a firewall would hold a client for the two minutes that TCP keeps trying.
#pragma once

#include <maestro/store/error.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace maestro {

/// A connection that shows that somebody listens. Hangs up at the end of its life.
class tcp_probe {
 public:
  tcp_probe(std::string host, int socket) : host_(std::move(host)), socket_(socket) {}
  tcp_probe(tcp_probe&& other) noexcept : host_(std::move(other.host_)), socket_(std::exchange(other.socket_, -1)) {}
  auto operator=(tcp_probe&&) -> tcp_probe& = delete;
  ~tcp_probe();

  /// The numeric address that answered: a name may have several, of which CAF tries the first.
  [[nodiscard]] auto host() const -> const std::string& { return host_; }
  [[nodiscard]] auto socket() const -> int { return socket_; }

 private:
  std::string host_;
  int socket_;
};

/// Connects to `host` and `port`. Errors: `node_unavailable`, with the system's reason. Takes no longer than `timeout`, shared among
/// the addresses, apart from the resolver of names, which has timeouts of its own.
[[nodiscard]] auto probe_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> result<tcp_probe>;

/// Whether the machine at `host` says within `timeout` that nobody listens at `port`. False for a host that is named, not numbered: no
/// resolver is asked.
[[nodiscard]] auto refuses_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> bool;

}  // namespace maestro
