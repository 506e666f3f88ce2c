#include <maestro/store/sqlite/file_lock.hpp>

#include <array>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace maestro::sqlite {

namespace {

auto reason() -> std::string { return std::generic_category().message(errno); }

// Who holds the lock; the number may be missing in the moment between a lock and its note.
auto holder(int descriptor) -> std::string {
  std::array<char, 32> text{};
  const auto size = ::pread(descriptor, text.data(), text.size() - 1, 0);
  const std::string noted(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const auto digits = noted.substr(0, noted.find_first_not_of("0123456789"));
  return digits.empty() ? "another process" : "process " + digits;
}

}  // namespace

auto file_lock::holder_of(const std::string& path) -> std::string {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return "another process";
  auto found = holder(descriptor);
  ::close(descriptor);
  return found;
}

auto file_lock::take(const std::string& path) -> result<file_lock> {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return error{errc::store_unavailable, "cannot open " + path + ": " + reason()};
  file_lock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return error{errc::store_unavailable, "cannot lock " + path + ": " + reason()};
    return error{errc::store_in_use, holder(descriptor) + " uses this store (it holds the lock " + path + ")"};
  }
  // The note is for people only: failing to write it does not matter.
  const std::string note = std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor, 0) == 0) (void)!::pwrite(descriptor, note.data(), note.size(), 0);
  return lock;
}

file_lock::~file_lock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace maestro::sqlite
