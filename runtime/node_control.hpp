// What another thread can know of a node's start and stop, and how it ends a start early.
#pragma once

#include <maestro/store/store.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>

namespace maestro {

/// For one node. Any thread may call any member.
class node_control {
 public:
  /// `node::start` ends with `shutting_down` after the step that it is at.
  void cancel_start() noexcept { cancelled_ = true; }
  /// What waits for the store's server is given up, and nothing connects to it any more (`database::cut_off`).
  void cut_off_store();

  /// What start or stop is doing, for people: "reads the store's schema".
  [[nodiscard]] auto step() const noexcept -> const char* { return step_; }
  /// How many requests had no answer when the drain timeout was over.
  [[nodiscard]] auto unanswered() const noexcept -> std::size_t { return unanswered_; }

  // The node's own part.
  [[nodiscard]] auto is_cancelled() const noexcept -> bool { return cancelled_; }
  /// `step` is a literal.
  void enter(const char* step) noexcept { step_ = step; }
  void leave_unanswered(std::size_t requests) noexcept { unanswered_ = requests; }
  void use(const std::shared_ptr<database>& store);

 private:
  std::atomic<bool> cancelled_{false};
  std::atomic<const char*> step_{"nothing"};
  std::atomic<std::size_t> unanswered_{0};
  std::mutex mutex_;
  std::weak_ptr<database> store_;
  bool is_cut_off_ = false;
};

inline void node_control::cut_off_store() {
  std::shared_ptr<database> store;
  {
    const std::lock_guard lock(mutex_);
    is_cut_off_ = true;
    store = store_.lock();
  }
  if (store) store->cut_off();
}

inline void node_control::use(const std::shared_ptr<database>& store) {
  bool is_cut_off = false;
  {
    const std::lock_guard lock(mutex_);
    store_ = store;
    is_cut_off = is_cut_off_;
  }
  if (is_cut_off) store->cut_off();
}

}  // namespace maestro
