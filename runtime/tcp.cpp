#include <maestro/runtime/tcp.hpp>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;

// 0, or the reason why not.
auto connect_to(const addrinfo& candidate, const tcp_socket& socket, steady_clock::time_point deadline) -> int {
  if (socket.descriptor() < 0) return errno;
  if (::connect(socket.descriptor(), candidate.ai_addr, candidate.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!socket.wait(false, deadline)) return ETIMEDOUT;
  int reason = 0;
  socklen_t size = sizeof reason;
  return ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &reason, &size) == 0 ? reason : errno;
}

auto socket_for(const addrinfo& candidate) -> tcp_socket {
  return tcp_socket(::socket(candidate.ai_family, candidate.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, candidate.ai_protocol));
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

}  // namespace

auto milliseconds_until(steady_clock::time_point deadline) -> std::chrono::milliseconds {
  return std::max(std::chrono::milliseconds(1), std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()));
}

tcp_socket::~tcp_socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

auto tcp_socket::wait(bool readable, steady_clock::time_point deadline) const -> bool {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd waiting{descriptor_, static_cast<short>(readable ? POLLIN : POLLOUT), 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) return true;  // Whoever uses it next finds out what is wrong with it.
  }
}

auto connect_tcp(const std::string& host, std::uint16_t port, steady_clock::time_point deadline) -> result<tcp_socket> {
  address_list candidates(nullptr, ::freeaddrinfo);
  if (const int failed = resolve(host, port, 0, candidates); failed != 0)
    return error{errc::node_unavailable, ::gai_strerror(failed)};
  std::ptrdiff_t left = 0;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next) ++left;
  int reason = ECONNREFUSED;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next, --left) {
    const auto now = steady_clock::now();
    tcp_socket socket = socket_for(*each);
    reason = connect_to(*each, socket, now + (deadline - now) / left);
    if (reason == 0) return socket;
  }
  return error{errc::node_unavailable, std::system_category().message(reason)};
}

auto why_not_listening(const std::string& host, std::uint16_t port) -> error {
  address_list candidates(nullptr, ::freeaddrinfo);
  if (const int failed = resolve(host, port, AI_PASSIVE, candidates); failed != 0) {
    const int reason = errno;
    if (failed == EAI_SYSTEM) return {errc::internal_error, std::system_category().message(reason)};
    return {errc::invalid_setting, std::string("the address is none of this machine: ") + ::gai_strerror(failed)};
  }
  int reason = 0;
  for (const auto* each = candidates.get(); each != nullptr; each = each->ai_next) {
    const tcp_socket socket = socket_for(*each);
    const int yes = 1;
    if (socket.descriptor() >= 0 &&
        ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        ::bind(socket.descriptor(), each->ai_addr, each->ai_addrlen) == 0 && ::listen(socket.descriptor(), 1) == 0)
      continue;
    // A host's name may stand for an address that this machine lacks, such as ::1: that is not what matters of several.
    if (reason == 0 || reason == EADDRNOTAVAIL || reason == EAFNOSUPPORT) reason = errno;
  }
  const auto said = std::system_category().message(reason);
  switch (reason) {
    case 0:
      return {errc::address_in_use, "the port was taken a moment ago; try again"};
    case EADDRINUSE:
      return {errc::address_in_use, "the port is taken"};
    case EADDRNOTAVAIL:
      return {errc::invalid_setting, "the address is not this machine's"};
    case EACCES:
      return {errc::invalid_setting, "this user may not listen on that port: " + said};
    case EMFILE:
      return {errc::invalid_setting, "this process may open no more files: raise the limit (ulimit -n, LimitNOFILE)"};
    default:
      return {errc::internal_error, said};
  }
}

auto refuses_tcp(const std::string& host, std::uint16_t port, std::chrono::milliseconds timeout) -> bool {
  address_list candidates(nullptr, ::freeaddrinfo);
  if (resolve(host, port, AI_NUMERICHOST, candidates) != 0) return false;
  return connect_to(*candidates, socket_for(*candidates), steady_clock::now() + timeout) == ECONNREFUSED;
}

}  // namespace maestro
