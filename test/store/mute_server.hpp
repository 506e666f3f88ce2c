// A server that does not answer.
#pragma once

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace maestro::test {

/// Takes connections, up to `queue`, and says nothing.
class mute_server {
 public:
  explicit mute_server(int queue = 8) : listener_(make_socket()) {
    BOOST_TEST_REQUIRE(::bind(listener_, address(), sizeof address_) == 0);
    BOOST_TEST_REQUIRE(::listen(listener_, queue) == 0);
    socklen_t size = sizeof address_;
    BOOST_TEST_REQUIRE(::getsockname(listener_, address(), &size) == 0);
  }
  ~mute_server() {
    for (const int each : callers_) ::close(each);
    ::close(listener_);
  }
  mute_server(const mute_server&) = delete;
  auto operator=(const mute_server&) -> mute_server& = delete;

  [[nodiscard]] auto at() const -> std::string { return "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)); }
  /// Whether a connection comes within half a minute.
  [[nodiscard]] auto is_called() const -> bool {
    pollfd waiting{listener_, POLLIN, 0};
    return ::poll(&waiting, 1, 30'000) == 1;
  }
  /// From now on a caller hears nothing at all, as from an address behind a firewall.
  void fill() {
    pollfd open{};
    do {
      open = {callers_.emplace_back(make_socket()), POLLOUT, 0};
      (void)::connect(open.fd, address(), sizeof address_);
    } while (::poll(&open, 1, 200) == 1 && callers_.size() < 16);
  }

 private:
  static auto make_socket() -> int { return ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
  auto address() -> sockaddr* { return reinterpret_cast<sockaddr*>(&address_); }

  sockaddr_in address_ = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
  int listener_;
  std::vector<int> callers_;
};

}  // namespace maestro::test
