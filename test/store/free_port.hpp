// A port for a server that a test starts.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <stdexcept>

namespace maestro::test {

/// The ports of this process, which no other process of the tests has while this one lives. They lie below those that Linux gives to
/// sockets that ask for any (32768 to 60999), so that no other program comes by one of them by chance. Any thread.
class own_ports {
 public:
  /// The next port without a listener; a port that was given out before comes again after some hundred others.
  auto next() -> std::uint16_t {
    const std::lock_guard lock(mutex_);
    for (int tried = 1; tried < size; ++tried) {
      if (++last_ == size) last_ = 1;
      const auto port = static_cast<std::uint16_t>(first_ + last_);
      if (const int probe = bind_to(port); probe >= 0) {
        ::close(probe);
        return port;
      }
    }
    throw std::runtime_error("there is no free port");
  }

  own_ports() {
    for (int range = 0; range < ranges && marker_ < 0; ++range) {
      first_ = lowest + (static_cast<int>(::getpid()) + range) % ranges * size;
      marker_ = bind_to(static_cast<std::uint16_t>(first_));
      if (marker_ >= 0 && ::listen(marker_, 1) != 0) {
        ::close(marker_);
        marker_ = -1;
      }
    }
    if (marker_ < 0) throw std::runtime_error("there is no free range of ports");
  }
  own_ports(const own_ports&) = delete;
  auto operator=(const own_ports&) -> own_ports& = delete;
  ~own_ports() { ::close(marker_); }

 private:
  static constexpr int lowest = 20'000;
  static constexpr int size = 100;  // The first of them says whose they are.
  static constexpr int ranges = 120;

  static auto bind_to(std::uint16_t port) -> int {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return made;
    ::close(made);
    return -1;
  }

  std::mutex mutex_;
  int first_ = 0;
  int last_ = 0;
  int marker_ = -1;
};

/// A port of 127.0.0.1 for a server of this test's.
inline auto free_port() -> std::uint16_t {
  static own_ports ports;
  return ports.next();
}

}  // namespace maestro::test
