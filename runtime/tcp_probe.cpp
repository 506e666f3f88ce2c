#include <maestro/runtime/tcp_probe.hpp>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;

class socket_handle {
 public:
  explicit socket_handle(const addrinfo& like)
      : descriptor_(::socket(like.ai_family, like.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, like.ai_protocol)) {}
  ~socket_handle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  socket_handle(const socket_handle&) = delete;
  auto operator=(const socket_handle&) -> socket_handle& = delete;
  [[nodiscard]] auto get() const -> int { return descriptor_; }

 private:
  int descriptor_;
};

// 0, or the reason why not.
auto connect_to(const addrinfo& candidate, steady_clock::time_point deadline) -> int {
  const socket_handle probe(candidate);
  if (probe.get() < 0) return errno;
  if (::connect(probe.get(), candidate.ai_addr, candidate.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd waiting{probe.get(), POLLOUT, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (ready == 0) return ETIMEDOUT;
    if (ready > 0) break;
    if (errno != EINTR) return errno;
  }
  int reason = 0;
  socklen_t size = sizeof reason;
  return ::getsockopt(probe.get(), SOL_SOCKET, SO_ERROR, &reason, &size) == 0 ? reason : errno;
}

auto numeric(const addrinfo& of) -> std::string {
  std::array<char, NI_MAXHOST> host{};
  ::getnameinfo(of.ai_addr, of.ai_addrlen, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return host.data();
}

}  // namespace

auto probe_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> result<std::string> {
  const auto deadline = steady_clock::now() + timeout;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); failed != 0)
    return error{errc::node_unavailable, ::gai_strerror(failed)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> candidates(found, ::freeaddrinfo);
  std::ptrdiff_t left = 0;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next) ++left;
  int reason = ECONNREFUSED;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next, --left) {
    const auto now = steady_clock::now();
    reason = connect_to(*each, now + (deadline - now) / left);
    if (reason == 0) return numeric(*each);
  }
  return error{errc::node_unavailable, std::system_category().message(reason)};
}

}  // namespace maestro
