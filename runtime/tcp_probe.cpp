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

// 0, or the reason why not.
auto connect_to(const addrinfo& candidate, int socket, steady_clock::time_point deadline) -> int {
  if (socket < 0) return errno;
  if (::connect(socket, candidate.ai_addr, candidate.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd waiting{socket, POLLOUT, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (ready == 0) return ETIMEDOUT;
    if (ready > 0) break;
    if (errno != EINTR) return errno;
  }
  int reason = 0;
  socklen_t size = sizeof reason;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &reason, &size) == 0 ? reason : errno;
}

auto socket_for(const addrinfo& candidate) -> int {
  return ::socket(candidate.ai_family, candidate.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, candidate.ai_protocol);
}

using address_list = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// The addresses of `host`, or the resolver's reason why not.
auto resolve(const std::string& host, std::uint16_t port, int flags, address_list& addresses) -> int {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed == 0) addresses.reset(found);
  return failed;
}

auto numeric(const addrinfo& of) -> std::string {
  std::array<char, NI_MAXHOST> host{};
  ::getnameinfo(of.ai_addr, of.ai_addrlen, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return host.data();
}

}  // namespace

tcp_probe::~tcp_probe() {
  if (socket_ >= 0) ::close(socket_);
}

auto probe_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> result<tcp_probe> {
  const auto deadline = steady_clock::now() + timeout;
  address_list candidates(nullptr, ::freeaddrinfo);
  if (const int failed = resolve(host, port, 0, candidates); failed != 0)
    return error{errc::node_unavailable, ::gai_strerror(failed)};
  std::ptrdiff_t left = 0;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next) ++left;
  int reason = ECONNREFUSED;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next, --left) {
    const auto now = steady_clock::now();
    tcp_probe probe(numeric(*each), socket_for(*each));
    reason = connect_to(*each, probe.socket(), now + (deadline - now) / left);
    if (reason == 0) return probe;
  }
  return error{errc::node_unavailable, std::system_category().message(reason)};
}

auto refuses_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> bool {
  address_list candidates(nullptr, ::freeaddrinfo);
  if (resolve(host, port, AI_NUMERICHOST, candidates) != 0) return false;
  const tcp_probe probe(host, socket_for(*candidates));
  return connect_to(*candidates, probe.socket(), steady_clock::now() + timeout) == ECONNREFUSED;
}

}  // namespace maestro
