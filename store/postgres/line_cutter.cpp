#include <maestro/store/postgres/line_cutter.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace maestro::postgres {

void line_cutter::cut() noexcept {
  const std::lock_guard lock(mutex_);
  is_cut_ = true;
  for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
}

line_cutter::line::line(line_cutter& of, int socket) : of_(&of), duplicate_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
  if (duplicate_ < 0) return;
  const std::lock_guard lock(of_->mutex_);
  of_->sockets_.insert(duplicate_);
  if (of_->is_cut_) ::shutdown(duplicate_, SHUT_RDWR);
}

line_cutter::line::line(line&& other) noexcept : of_(other.of_), duplicate_(std::exchange(other.duplicate_, -1)) {}

auto line_cutter::line::operator=(line&& other) noexcept -> line& {
  std::swap(of_, other.of_);
  std::swap(duplicate_, other.duplicate_);
  return *this;
}

line_cutter::line::~line() {
  if (duplicate_ < 0) return;
  {
    const std::lock_guard lock(of_->mutex_);
    of_->sockets_.erase(duplicate_);
  }
  ::close(duplicate_);
}

}  // namespace maestro::postgres
