#include <maestro/store/store_log.hpp>

#include <mutex>
#include <utility>

namespace maestro {

namespace {

struct target {
  std::mutex mutex;
  std::function<void(const std::string&)> write;
};

auto the_target() -> target& {
  static target only;
  return only;
}

}  // namespace

void set_store_log(std::function<void(const std::string&)> write) {
  const std::lock_guard lock(the_target().mutex);
  the_target().write = std::move(write);
}

void log_store_trouble(const std::string& line) {
  const std::lock_guard lock(the_target().mutex);
  if (the_target().write) the_target().write(line);
}

}  // namespace maestro
