// An exclusive lock on a file beside the database, which notes its holder. It goes with the process, however that ends. What keeps two
// processes apart is the lock on the database file itself (store_file.hpp); programs of former versions know this one only.
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

  /// The holder of the lock at `path`, for messages: `process N`, or `another process` where nothing is noted.
  [[nodiscard]] static auto holder_of(const std::string& path) -> std::string;

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
