#include "faulty_file.hpp"

#include <sqlite3.h>

#include <atomic>
#include <stdexcept>

namespace maestro::test {

namespace {

// What is still to fail, and how. SQLite calls plain functions, so this is the program's.
struct fault {
  std::atomic<int> times{0};
  std::atomic<int> code{SQLITE_OK};

  void arm(int how_often, int with) {
    code = with;
    times = how_often;
  }
  auto happens() -> bool { return times == faulty_file::always || (times > 0 && times-- > 0); }
};
fault write_fault;
fault sync_fault;

sqlite3_vfs* real_system = nullptr;
sqlite3_vfs faulty_system;
const sqlite3_io_methods* real_methods = nullptr;
sqlite3_io_methods faulty_methods;

auto write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) -> int {
  return write_fault.happens() ? write_fault.code.load() : real_methods->xWrite(file, bytes, size, offset);
}

auto sync(sqlite3_file* file, int flags) -> int {
  return sync_fault.happens() ? sync_fault.code.load() : real_methods->xSync(file, flags);
}

auto open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) -> int {
  const int code = real_system->xOpen(real_system, name, file, flags, out_flags);
  if (code != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return code;
  real_methods = file->pMethods;
  faulty_methods = *real_methods;
  faulty_methods.xWrite = write;
  faulty_methods.xSync = sync;
  file->pMethods = &faulty_methods;
  return code;
}

}  // namespace

faulty_file::faulty_file() {
  real_system = sqlite3_vfs_find(nullptr);
  faulty_system = *real_system;
  faulty_system.zName = "faulty";
  faulty_system.xOpen = open;
  if (sqlite3_vfs_register(&faulty_system, 1) != SQLITE_OK) throw std::runtime_error("SQLite takes no other file system");
}

faulty_file::~faulty_file() {
  repair();
  sqlite3_vfs_unregister(&faulty_system);
  sqlite3_vfs_register(real_system, 1);
}

void faulty_file::fill_disk(int times) { write_fault.arm(times, SQLITE_FULL); }
void faulty_file::fail_writes(int times) { write_fault.arm(times, SQLITE_IOERR_WRITE); }
void faulty_file::fail_syncs(int times) { sync_fault.arm(times, SQLITE_IOERR_FSYNC); }

void faulty_file::repair() {
  write_fault.arm(0, SQLITE_OK);
  sync_fault.arm(0, SQLITE_OK);
}

}  // namespace maestro::test
