#include <maestro/runtime/supervisor.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

namespace maestro {

auto tell_supervisor(std::string_view state) -> result<void> {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || *name == '\0') return {};
  const std::string path = name;
  const auto failed = [&](int reason) {
    return error{errc::internal_error, "the socket " + path + " of NOTIFY_SOCKET cannot be told " +
                                           std::string(state.substr(0, state.find('\n'))) + ": " +
                                           std::system_category().message(reason)};
  };
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  // A name that begins with @ is in no file system: the kernel has a NUL byte there.
  if ((path[0] != '/' && path[0] != '@') || path.size() >= sizeof to.sun_path) return failed(EINVAL);
  std::memcpy(to.sun_path, path.data(), path.size());
  if (path[0] == '@') to.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1));

  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket < 0) return failed(errno);
  const auto sent =
      ::sendto(socket, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), size);
  const int reason = errno;
  ::close(socket);
  if (sent < 0) return failed(reason);
  return {};
}

}  // namespace maestro
