#include <maestro/store/sqlite/failure.hpp>
#include <maestro/store/sqlite/file_lock.hpp>
#include <maestro/store/sqlite/store_file.hpp>
#include <maestro/store/store_log.hpp>

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace maestro::sqlite {

namespace {

// SQLite's own locks lie on 512 bytes from 0x40000000 on. Where a byte lies does not matter otherwise: nothing is
// stored for it.
constexpr off_t lock_byte = 0x40000400;

auto identity_of(const struct stat& found) -> file_identity {
  return {found.st_dev, found.st_ino};
}

// The files that this process has locked. To open one of them once more and to close it again would drop the locks that
// SQLite holds on it for this process, so they are told apart before anything is opened.
class own_files {
 public:
  std::mutex mutex;
  std::set<std::pair<dev_t, ino_t>> files;

  [[nodiscard]] auto has(const file_identity& file) const -> bool { return files.contains({file.device, file.number}); }
};

auto the_own_files() -> own_files& {
  static own_files only;
  return only;
}

auto unavailable(const std::string& file, const std::string& why) -> error {
  return {errc::store_unavailable, "cannot open " + file + ": " + why};
}

auto because(int code) -> std::string {
  return std::generic_category().message(code);
}

auto kind_of_file(mode_t mode) -> std::string_view {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

auto in_use(const std::string& file) -> error {
  return {errc::store_in_use, file_lock::holder_of(file + ".lock") + " uses this store (it holds the lock on " + file +
                                  " itself, and notes it in " + file +
                                  ".lock; a link to the file, or another mount of it, is the same store)"};
}

// Empty for a file without content and for a database.
auto other_content(int descriptor) -> std::string {
  constexpr std::string_view magic{"SQLite format 3\0", 16};
  std::array<char, 512> head{};
  const auto size = ::pread(descriptor, head.data(), head.size(), 0);
  if (size < 0) return because(errno);
  const std::string_view begin(head.data(), static_cast<std::size_t>(size));
  if (begin.empty() || begin.starts_with(magic)) return {};
  const bool text = std::all_of(begin.begin(), begin.end(), [](char letter) {
    const auto byte = static_cast<unsigned char>(letter);
    return byte >= 0x20 || byte == '\n' || byte == '\r' || byte == '\t';
  });
  return text ? "the file is not a database, it holds text" : "the file is not a database";
}

// What `file` has in its write-ahead log is all that there is of it: it was moved away, or lost. SQLite would take the log for a leftover,
// and remove it. Empty: it has not.
auto lost_file(const std::string& file) -> std::string {
  struct stat found {};
  const bool is_there = ::stat(file.c_str(), &found) == 0;
  if (is_there && found.st_size > 0) return {};
  if (::stat((file + "-wal").c_str(), &found) != 0 || found.st_size == 0) return {};
  return std::string(is_there ? "it is empty" : "it is not there") + ", but " + file + "-wal is, with what was committed last: put the file " +
         "back that belongs to it, or, to begin anew or with a backup, move " + file + "-wal away";
}

// Empty for a database of ours and for one without tables.
auto other_program(const std::string& file) -> std::string {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> handle(raw, sqlite3_close);
  if (code != SQLITE_OK) return sqlite3_errmsg(raw);
  sqlite3_busy_timeout(raw, 1000);
  sqlite3_stmt* query = nullptr;
  if (sqlite3_prepare_v2(raw,
                         R"(SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
                                 ORDER BY name <> 'maestro_migrations', name LIMIT 4)",
                         -1, &query, nullptr) != SQLITE_OK)
    return sqlite3_errmsg(raw);
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement(query, sqlite3_finalize);
  std::string tables;
  int status = SQLITE_DONE;
  for (int count = 0; (status = sqlite3_step(query)) == SQLITE_ROW; ++count) {
    const std::string name = reinterpret_cast<const char*>(sqlite3_column_text(query, 0));
    if (count == 0 && name == "maestro_migrations") return {};
    if (count < 3)
      tables += (count > 0 ? ", " : "") + name;
    else
      tables += " ...";
  }
  if (status != SQLITE_DONE) return sqlite3_errmsg(raw);
  if (tables.empty()) return {};
  return "the file is the database of another program (its tables: " + tables + "); a store has a file of its own";
}

// Whether the lock was free. A file system that knows no locks of open files has flock.
auto lock(int descriptor) -> result<bool> {
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = lock_byte;
  range.l_len = 1;
  if (::fcntl(descriptor, F_OFD_SETLK, &range) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  if (errno == EINVAL && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return error{errc::store_unavailable, because(errno)};
}

// What `place` leads to now is not its file: what is wrong.
auto difference(const file_place& place) -> std::optional<std::string> {
  struct stat now {};
  if (::stat(place.path.c_str(), &now) == 0) {
    if (identity_of(now) == place.file) return std::nullopt;
    return place.path + " is another file now";
  }
  if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE || errno == ELOOP)
    return place.path + " is not there any more";
  throw sql_error(SQLITE_CANTOPEN,
                  "cannot look at " + place.path + ": " + because(errno));  // It may be back in a moment.
}

}  // namespace

void add_place(std::vector<file_place>& places, const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0) places.push_back({path, identity_of(found)});
}

auto store_file::take(const std::string& path) -> result<store_file> {
  auto& own = the_own_files();
  const std::lock_guard guard(own.mutex);
  std::error_code ignored;
  auto canonical = [&] {
    const auto name = std::filesystem::weakly_canonical(path, ignored);
    return name.empty() ? path : name.string();
  };
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0) {
    if (!S_ISREG(found.st_mode))
      return unavailable(path, "it is " + std::string(kind_of_file(found.st_mode)) + ", not a database");
    if (own.has(identity_of(found))) return in_use(canonical());
  }
  if (auto lost = lost_file(canonical()); !lost.empty()) return unavailable(path, lost);
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  if (descriptor < 0) return unavailable(path, because(errno));
  if (::fstat(descriptor, &found) != 0 || own.has(identity_of(found)))
    return in_use(canonical());  // Replaced just now; left open.
  own.files.emplace(found.st_dev, found.st_ino);
  store_file taken(descriptor, identity_of(found));
  taken.canonical_ = canonical();
  auto refused = [&](error why) -> result<store_file> {
    own.files.erase({found.st_dev, found.st_ino});
    ::close(std::exchange(taken.descriptor_, -1));
    return why;
  };
  if (auto other = other_content(descriptor); !other.empty()) return refused(unavailable(path, other));
  const auto free = lock(descriptor);
  if (!free) return refused(unavailable(path, "it cannot be locked: " + free.failure().message));
  if (!*free) return refused(in_use(taken.canonical_));
  if (auto lost = lost_file(taken.canonical_); !lost.empty()) return refused(unavailable(path, lost));
  if (found.st_nlink > 1)
    return refused(unavailable(
        path, "the file has " + std::to_string(found.st_nlink) +
                  " names (hard links), and what was committed last may lie in a write-ahead log beside another "
                  "one; keep the name that it was used by, remove the others"));
  if (auto other = other_program(taken.canonical_); !other.empty()) return refused(unavailable(path, other));
  taken.places_.push_back({taken.canonical_, taken.identity_});
  const auto given = std::filesystem::absolute(path, ignored).string();
  if (!given.empty() && given != taken.canonical_) taken.places_.push_back({given, taken.identity_});
  return taken;
}

store_file::~store_file() {
  if (descriptor_ < 0) return;
  const std::lock_guard guard(the_own_files().mutex);
  the_own_files().files.erase({identity_.device, identity_.number});
  ::close(descriptor_);
}

void file_guard::look(std::span<const file_place> some, std::span<const file_place> others) const {
  if (!gone_) {
    std::optional<std::string> found;
    for (const auto places : {some, others})
      for (const auto& place : places)
        if (!found) found = difference(place);
    if (!found) return;
    const std::lock_guard lock(mutex_);
    if (!gone_) {
      why_ =
          *found +
          ": the store was removed, renamed or replaced while it was used, and nothing more is written to it; put the "
          "file back together with its -wal, or restore a backup, and start again";
      gone_ = true;
      log_store_trouble(why_);
    }
  }
  const std::lock_guard lock(mutex_);
  throw sql_error(SQLITE_READONLY_DBMOVED, why_);
}

}  // namespace maestro::sqlite
