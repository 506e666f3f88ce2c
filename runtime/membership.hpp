// A node's membership in its cluster: joins the table in the store, keeps its own heartbeat going there, tells the node what it reads,
// and declares dead who has stopped. On a thread of its own, so that nothing that the node does holds up its heartbeat.
#pragma once

#include <maestro/runtime/cluster_view.hpp>
#include <maestro/runtime/suspicion.hpp>
#include <maestro/store/members.hpp>

#include <spdlog/logger.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

namespace maestro {

struct membership_settings {
  std::chrono::milliseconds heartbeat_interval{250};
  std::chrono::milliseconds suspicion_time{1'500};
};

/// Its members are for the owner's thread.
class membership {
 public:
  struct hooks {
    /// After every read that succeeded, on the membership's thread and, for the first one, within `join`.
    std::function<void(cluster_view_ptr)> read;
    /// The store's clock, in milliseconds since the Unix epoch, as it was at a read; where the store has one. May be null.
    std::function<void(std::uint64_t)> store_clock;
    /// At most once: the table says that this member is dead. Nothing is read any more then. On the membership's thread.
    std::function<void(std::string reason)> declared_dead;
  };

  /// Enters `self` in the table, with what it serves (`member::served`), once no other run of its name lives any more
  /// (namesake.hpp). Errors: as `member_table::join`, and `invalid_setting` when one does.
  [[nodiscard]] static auto join(std::unique_ptr<member_table> table, member self, membership_settings settings, hooks calls,
                                 std::shared_ptr<spdlog::logger> log) -> result<std::unique_ptr<membership>>;
  /// Stops the heartbeat. Who has not left is declared dead by the others after a while.
  ~membership();
  membership(const membership&) = delete;
  auto operator=(const membership&) -> membership& = delete;

  /// Leaves the table, after which the others place nothing here any more. Waits for the store at most `timeout`; false when it could
  /// not be told in time. Later calls do nothing.
  auto leave(std::chrono::milliseconds timeout) -> bool;

 private:
  enum class stage { takes_part, is_to_leave, has_left, is_to_stop };

  membership(std::unique_ptr<member_table> table, member self, membership_settings settings, hooks calls,
             std::shared_ptr<spdlog::logger> log);
  void run();
  [[nodiscard]] auto wait_for_next_beat() -> stage;
  [[nodiscard]] auto beat() -> bool;
  void publish(member_list list, cluster_view::clock::time_point read_at);
  void learn_what_they_serve(const member_list& list);
  void note_releases(const cluster_view& view);
  void look_after_the_others(const member_list& list);
  void say_goodbye();

  const std::unique_ptr<member_table> table_;
  const member self_;
  const membership_settings settings_;
  const hooks hooks_;
  const served_ptr own_;  // What this member serves,
  known_served known_;    // and all whose digest is in the table, as far as it was read.
  std::string mixed_;     // The types of which the members do not serve the same, for people.
  std::string store_;  // Its identity, as the last join has told it.
  std::unordered_map<incarnation_id, std::int64_t> unproven_;  // Members without a session at our last join, and their heartbeats then.
  const std::shared_ptr<spdlog::logger> log_;
  suspicion suspicion_;
  bool store_is_away_ = false;

  std::mutex mutex_;
  std::condition_variable changed_;
  stage stage_ = stage::takes_part;
  std::thread thread_;
};

}  // namespace maestro
