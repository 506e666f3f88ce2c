// The file that a store lies in: what it is, that this process alone uses it, and that its path still leads to it.
#pragma once

#include <maestro/store/error.hpp>

#include <atomic>
#include <mutex>
#include <span>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace maestro::sqlite {

/// A file, whatever its name.
struct file_identity {
  dev_t device = 0;
  ino_t number = 0;
  friend auto operator==(const file_identity&, const file_identity&) -> bool = default;
};

/// A path, and the file that it led to.
struct file_place {
  std::string path;
  file_identity file;
};

/// Adds `path` and the file that it leads to now to `places`; one that is not there is left out.
void add_place(std::vector<file_place>& places, const std::string& path);

/// An exclusive lock on a database file itself, so that links, other names and other mounts of it count as the same.
/// Held until it is destroyed: the descriptor must outlive each SQLite connection to the file, whose own locks would go
/// with it.
class store_file {
 public:
  /// Opens `path`, which is created when missing, and locks it. Nothing else is made or changed. Errors:
  /// `store_in_use`, naming the holder's process id where it is noted; `store_unavailable` when the file cannot be
  /// opened, is not a database, is the database of another program, has several names (its write-ahead log would lie
  /// beside one of them), or is not there beside a write-ahead log of its own.
  [[nodiscard]] static auto take(const std::string& path) -> result<store_file>;

  store_file(store_file&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        identity_(other.identity_),
        canonical_(std::move(other.canonical_)),
        places_(std::move(other.places_)) {}
  auto operator=(store_file&&) -> store_file& = delete;
  ~store_file();

  /// The file's own name, whatever the path it was reached by.
  [[nodiscard]] auto canonical() const -> const std::string& { return canonical_; }
  /// Each path that leads to it.
  [[nodiscard]] auto places() const -> std::span<const file_place> { return places_; }

 private:
  store_file(int descriptor, const file_identity& identity) : descriptor_(descriptor), identity_(identity) {}

  int descriptor_;
  file_identity identity_;
  std::string canonical_;
  std::vector<file_place> places_;
};

/// Whether all is where it was. Once something is not, it stays so: what is written goes where the next start does not
/// look. Logs that once. Any thread may look; costs some microseconds.
class file_guard {
 public:
  /// Throws `sql_error` when a place of `some` or `others` does not lead to its file any more, or one did not before.
  void look(std::span<const file_place> some, std::span<const file_place> others) const;
  /// Whether something was not where it was: then nothing will ever be written here again.
  [[nodiscard]] auto is_gone() const noexcept -> bool { return gone_; }

 private:
  mutable std::atomic<bool> gone_{false};
  mutable std::mutex mutex_;
  mutable std::string why_;
};

}  // namespace maestro::sqlite
