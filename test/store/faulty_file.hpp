// A disk that fails when a test says so: SQLite's write-ahead log, into which each commit is written and synchronized.
#pragma once

namespace maestro::test {

/// While it lives, what this program opens with SQLite can fail. One at a time.
class faulty_file {
 public:
  faulty_file();
  faulty_file(const faulty_file&) = delete;
  auto operator=(const faulty_file&) -> faulty_file& = delete;
  ~faulty_file();

  static constexpr int always = -1;
  /// The next `times` writes find the disk full: nothing of them is written.
  void fill_disk(int times = always);
  /// The next `times` writes fail: nothing of them is written.
  void fail_writes(int times = always);
  /// The next `times` synchronizations fail. What was written is there for now; whether it survives, nobody knows.
  void fail_syncs(int times = always);
  /// From now on everything works.
  void repair();
};

}  // namespace maestro::test
