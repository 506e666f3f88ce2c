// Ends what waits for a server that does not answer. libpq waits without a bound once it is connected: a server that stands still
// keeps its connections up. At a node's end all of them are cut at once.
#pragma once

#include <atomic>
#include <mutex>
#include <set>

namespace maestro::postgres {

/// The sockets of all connections of one database. Any thread may call any member.
class line_cutter {
 public:
  line_cutter() = default;
  line_cutter(const line_cutter&) = delete;
  auto operator=(const line_cutter&) -> line_cutter& = delete;

  /// Hangs up every line, now and from now on: whoever waits at one finds that the server is gone.
  void cut() noexcept;
  [[nodiscard]] auto is_cut() const noexcept -> bool { return is_cut_; }

  /// A connection's line, for as long as the connection lives.
  class line {
   public:
    line() = default;
    /// `socket` stays its owner's; the line holds a duplicate, which no other file can get the number of.
    line(line_cutter& of, int socket);
    line(const line&) = delete;
    auto operator=(const line&) -> line& = delete;
    line(line&& other) noexcept;
    auto operator=(line&& other) noexcept -> line&;
    ~line();

   private:
    line_cutter* of_ = nullptr;
    int duplicate_ = -1;
  };

 private:
  std::mutex mutex_;
  std::set<int> sockets_;
  std::atomic<bool> is_cut_{false};
};

}  // namespace maestro::postgres
