#include "faulty_proxy.hpp"

#include <array>
#include <memory>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace maestro::test {

namespace {

auto local(int port) -> sockaddr_in {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// What is there, empty at the end of the stream.
auto receive(int socket) -> std::string {
  std::array<char, 65536> buffer{};
  const auto size = ::recv(socket, buffer.data(), buffer.size(), 0);
  return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

// A socket, or -1 where there is nothing at `end`.
auto connect_to(const wire_end& end) -> int {
  const auto connect = [](int family, const sockaddr* address, socklen_t size) {
    const int made = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0 && ::connect(made, address, size) == 0) return made;
    if (made >= 0) ::close(made);
    return -1;
  };
  if (end.host.starts_with('/')) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = end.host + "/.s.PGSQL." + end.port;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(end.host.c_str(), end.port.c_str(), &wanted, &found) != 0) return -1;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  for (const auto* each = found; each != nullptr; each = each->ai_next)
    if (const int made = connect(each->ai_family, each->ai_addr, each->ai_addrlen); made >= 0) return made;
  return -1;
}

auto send_all(int socket, const std::string& bytes) -> bool {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const auto size = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (size <= 0) return false;
    sent += static_cast<std::size_t>(size);
  }
  return true;
}

}  // namespace

faulty_proxy::faulty_proxy(wire_end server) : server_end_(std::move(server)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = local(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 16) != 0 || ::getsockname(listener_, generic, &size) != 0)
    throw std::runtime_error("the proxy cannot listen");
  port_ = ntohs(address.sin_port);
  server_ = std::thread([this] { serve(); });
}

faulty_proxy::~faulty_proxy() {
  stopping_ = true;
  server_.join();
  for (auto& wire : wires_) wire.join();
  ::close(listener_);
}

void faulty_proxy::arm(const std::string& text, fault happens, const std::string& answer) {
  const std::lock_guard lock(mutex_);
  text_ = text;
  answer_ = answer;
  fault_ = happens;
}

auto faulty_proxy::fault_for(const std::string& message) -> fault {
  const std::lock_guard lock(mutex_);
  return fault_ != fault::none && message.find(text_) != message.npos ? std::exchange(fault_, fault::none) : fault::none;
}

void faulty_proxy::serve() {
  while (!stopping_) {
    pollfd incoming{listener_, POLLIN, 0};
    if (::poll(&incoming, 1, 20) != 1) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (turns_away_) {
      ::close(client);
      continue;
    }
    ++connections_;
    wires_.emplace_back([this, client] { pass(client); });
  }
}

void faulty_proxy::pass(int client) {
  const int server = connect_to(server_end_);
  bool asked = false;
  bool open = server >= 0;
  while (open && !stopping_) {
    std::array<pollfd, 2> ends{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
    if (::poll(ends.data(), ends.size(), 20) <= 0) continue;
    if (ends[1].revents != 0) {
      const auto answer = receive(server);
      if (std::exchange(asked, false)) ++round_trips_;
      open = !answer.empty() && send_all(client, answer);
    }
    if (open && ends[0].revents != 0) {
      auto request = receive(client);
      asked = true;
      const auto happens = fault_for(request);
      if (happens == fault::word) {
        const std::lock_guard lock(mutex_);
        request.replace(request.find(text_), text_.size(), answer_);
      } else if (happens != fault::none) {
        ++cuts_;
      }
      open = !request.empty() && happens != fault::request && send_all(server, request);
      if (happens == fault::answer) {
        (void)receive(server);
        const std::lock_guard lock(mutex_);
        (void)send_all(client, answer_);
        open = false;
      }
    }
  }
  if (server >= 0) ::close(server);
  ::close(client);
}

}  // namespace maestro::test
