#include "relay.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

namespace maestro::test {

namespace {

using namespace std::chrono_literals;

constexpr auto look_up = 20;  // Milliseconds between two looks at whether to stop.

auto bound_socket(node_address& address) -> tcp_socket {
  tcp_socket made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in bound = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
  socklen_t size = sizeof bound;
  auto* at = reinterpret_cast<sockaddr*>(&bound);
  if (::bind(made.descriptor(), at, size) != 0 || ::listen(made.descriptor(), 16) != 0 || ::getsockname(made.descriptor(), at, &size) != 0)
    throw std::runtime_error("no port to listen on");
  address = {"127.0.0.1", ntohs(bound.sin_port)};
  return made;
}

// False when one end is gone.
auto pass_some(int from, int to, std::size_t most = SIZE_MAX) -> bool {
  std::array<char, 65'536> buffer;
  const auto got = ::recv(from, buffer.data(), std::min(buffer.size(), most), MSG_DONTWAIT);
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  for (ssize_t done = 0; done < got;) {
    const auto sent = ::send(to, buffer.data() + done, static_cast<std::size_t>(got - done), MSG_NOSIGNAL);
    if (sent > 0) done += sent;
    else if (errno != EAGAIN && errno != EINTR) return false;
    else if (!tcp_socket(::dup(to)).wait(false, std::chrono::steady_clock::now() + 1s)) return false;
  }
  return true;
}

}  // namespace

listening_port::listening_port(std::function<void(tcp_socket)> serve)
    : listener_(bound_socket(address_)), thread_([this, serve = std::move(serve)] {
        while (!stopping_) {
          pollfd waiting{listener_.descriptor(), POLLIN, 0};
          if (::poll(&waiting, 1, look_up) <= 0) continue;
          tcp_socket taken(::accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
          if (taken.descriptor() >= 0) serve(std::move(taken));
        }
      }) {}

listening_port::~listening_port() {
  stopping_ = true;
  thread_.join();
}

relay::relay(node_address node)
    : node_(std::move(node)), port_([this](tcp_socket client) {
        auto to = connect_tcp(node_.host, node_.port, std::chrono::steady_clock::now() + 5s);
        if (!to) return;
        // What the system would hold on the way is not the node's.
        const int small = 65'536;
        (void)::setsockopt(to->descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        const bool to_be_lost = taken_++ < to_lose_;
        wires_.emplace_back([this, to_be_lost, from = std::move(client), node = std::move(*to)] { pass(from, node, to_be_lost); });
      }) {}

relay::~relay() { stopping_ = true; }

void relay::pass(const tcp_socket& client, const tcp_socket& node, bool to_be_lost) const {
  bool introduced = false;
  while (!stopping_) {
    std::array<pollfd, 2> waiting{{{client.descriptor(), POLLIN, 0}, {node.descriptor(), static_cast<short>(stalled_ ? 0 : POLLIN), 0}}};
    if (::poll(waiting.data(), waiting.size(), look_up) <= 0) continue;
    if (waiting[0].revents != 0 && introduced && to_be_lost) break;
    const std::size_t most = most_;
    if (waiting[0].revents != 0 && !pass_some(client.descriptor(), node.descriptor(), most == 0 ? SIZE_MAX : most)) break;
    if (most != 0) std::this_thread::sleep_for(pause_.load());
    if ((waiting[1].revents & POLLIN) != 0) {
      if (!pass_some(node.descriptor(), client.descriptor(), most == 0 ? SIZE_MAX : most)) break;
      introduced = true;
    }
    if ((waiting[1].revents & (POLLERR | POLLHUP)) != 0 && (waiting[1].revents & POLLIN) == 0) break;
  }
  (void)::shutdown(client.descriptor(), SHUT_RDWR);
  (void)::shutdown(node.descriptor(), SHUT_RDWR);
}

impostor::impostor(std::string greeting)
    : port_([greeting = std::move(greeting)](const tcp_socket& client) {
        (void)::send(client.descriptor(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
        std::array<char, 4096> buffer;
        while (client.wait(true, std::chrono::steady_clock::now() + 1s) && ::recv(client.descriptor(), buffer.data(), buffer.size(), 0) > 0) {
        }
      }) {}

}  // namespace maestro::test
