// One process at a time: an exclusive lock on a file beside the database. It goes with the process, however that ends.
#pragma once

#include <maestro/store/error.hpp>

#include <string>
#include <utility>

namespace maestro::sqlite {

class file_lock {
 public:
  /// Locks `path`, which is created when missing and stays behind when the lock is gone. Errors: `store_in_use`, naming the
  /// holder's process id; `store_unavailable` when the file cannot be opened.
  [[nodiscard]] static auto take(const std::string& path) -> result<file_lock>;

  file_lock(file_lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  auto operator=(file_lock&& other) noexcept -> file_lock& {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~file_lock();

 private:
  explicit file_lock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace maestro::sqlite
