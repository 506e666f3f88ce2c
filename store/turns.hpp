// Work that waits in several queues, each of which gets its turn.
#pragma once

#include <deque>
#include <unordered_map>

namespace maestro {

/// Queues by key that take turns. `Queue` is a container, or `turns` again: then the queues of one key share its turns.
/// For one thread at a time.
template <class Key, class Queue>
class turns {
 public:
  /// The queue of `key`, to which the caller adds something. A new one has its turn after all others.
  [[nodiscard]] auto of(const Key& key) -> Queue& {
    const auto [at, is_new] = queues_.try_emplace(key);
    if (is_new) order_.push_back(key);
    return at->second;
  }
  [[nodiscard]] auto empty() const -> bool { return order_.empty(); }

  /// Calls `take` with the queue whose turn it is. Its next turn comes after all others; a queue that is empty then is
  /// gone. There must be a queue.
  template <class Take>
  void take_turn(Take take) {
    const Key key = order_.front();
    auto& queue = queues_.find(key)->second;
    take(queue);
    order_.pop_front();
    if (queue.empty()) queues_.erase(key);
    else order_.push_back(key);
  }

 private:
  std::unordered_map<Key, Queue> queues_;
  std::deque<Key> order_;  ///< The next one first.
};

}  // namespace maestro
