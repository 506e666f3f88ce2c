#include "stepped_clock.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace maestro::test {

namespace {

// Mapped for as long as the process lives. An empty name stands for memory of its own.
auto shared_shift(const std::string& file) -> stepped_clock::shift* {
  constexpr std::size_t size = sizeof(stepped_clock::shift);
  const int descriptor = file.empty() ? -1 : ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (!file.empty() && (descriptor < 0 || ::ftruncate(descriptor, size) != 0)) std::abort();
  const int flags = file.empty() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, descriptor, 0);
  if (memory == MAP_FAILED) std::abort();
  if (descriptor >= 0) ::close(descriptor);
  return static_cast<stepped_clock::shift*>(memory);
}

}  // namespace

stepped_clock::stepped_clock(const std::string& file) : shift_(shared_shift(file)) {}

auto stepped_clock::own() -> stepped_clock& {
  static const char* const file = std::getenv("MAESTRO_TEST_CLOCK_FILE");
  static stepped_clock only(file == nullptr ? std::string() : std::string(file));
  return only;
}

}  // namespace maestro::test

extern "C" auto clock_gettime(clockid_t clock, timespec* now) noexcept -> int {
  const auto done = static_cast<int>(::syscall(SYS_clock_gettime, clock, now));
  if (done == 0 && clock == CLOCK_REALTIME) now->tv_sec += maestro::test::stepped_clock::own().show();
  return done;
}
