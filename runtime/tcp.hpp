// Connections over TCP, made with a deadline. CAF connects with none, on a thread that its shutdown waits for: an address behind a
// firewall would hold a client for the two minutes that TCP keeps trying.
#pragma once

#include <maestro/store/error.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace maestro {

/// At least 1, for those who take a timeout.
[[nodiscard]] auto milliseconds_until(std::chrono::steady_clock::time_point deadline) -> std::chrono::milliseconds;

/// A socket of our own, closed at the end of its life.
class tcp_socket {
 public:
  explicit tcp_socket(int descriptor) : descriptor_(descriptor) {}
  tcp_socket(tcp_socket&& other) noexcept : descriptor_(other.release()) {}
  auto operator=(tcp_socket&&) -> tcp_socket& = delete;
  ~tcp_socket();

  [[nodiscard]] auto descriptor() const -> int { return descriptor_; }
  /// Hands the descriptor over to the caller, who closes it.
  [[nodiscard]] auto release() -> int { return std::exchange(descriptor_, -1); }

  /// Waits until the socket is readable, or writable, at most until `deadline`; false when it is neither by then.
  [[nodiscard]] auto wait(bool readable, std::chrono::steady_clock::time_point deadline) const -> bool;

 private:
  int descriptor_;
};

/// Connects to `host` and `port`; the socket does not block. Errors: `node_unavailable`, with the system's reason. Ends by `deadline`,
/// the time being shared among the addresses of a name, apart from the resolver of names, which has timeouts of its own.
[[nodiscard]] auto connect_tcp(const std::string& host, std::uint16_t port, std::chrono::steady_clock::time_point deadline)
    -> result<tcp_socket>;

/// Why nobody can listen at `host` and `port`, found out by an attempt. For one that has just failed: CAF keeps the reason to
/// itself. Returns `address_in_use` where the port is taken, `invalid_setting` where the address is not this machine's, the port
/// is not for this user, or the process has no descriptor left, and `internal_error` with the system's reason for all else.
[[nodiscard]] auto why_not_listening(const std::string& host, std::uint16_t port) -> error;

/// Whether the machine at `host` says within `timeout` that nobody listens at `port`. False for a host that is named, not numbered: no
/// resolver is asked.
[[nodiscard]] auto refuses_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> bool;

}  // namespace maestro
