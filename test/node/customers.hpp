// Customers who move money between accounts of theirs, on and on, on a thread of their own.
#pragma once

#include "load.hpp"

#include "transfer.hpp"

#include <maestro/runtime/client.hpp>
#include <maestro/store/clock.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace maestro::test {

/// They open their accounts at once, with the same sum on each. Then they begin transfers, some of more than there is, some to an account
/// that nobody has opened, and wait when too many are not over.
class customers {
 public:
  static constexpr int accounts = 8;
  static constexpr std::int64_t each_begins_with = 1'000;

  /// Whatever they ask takes up to `timeout`.
  customers(const std::vector<node_address>& nodes, std::uint64_t seed, std::chrono::milliseconds timeout);
  ~customers() { stop(); }
  customers(const customers&) = delete;
  auto operator=(const customers&) -> customers& = delete;

  /// They begin nothing more.
  void stop();
  /// After `stop`: asks again for what is in doubt, and waits until no transfer has anything left to do.
  void wait_until_over();

  /// Everything they sent, and how long the slowest answer took; to be read after `stop`.
  [[nodiscard]] auto commands() const -> const std::deque<sent_command>& { return commands_; }
  [[nodiscard]] auto longest() const -> std::chrono::milliseconds { return std::chrono::milliseconds(longest_); }

 private:
  static constexpr std::ptrdiff_t outstanding = 16;
  static constexpr std::size_t most_open = 128;

  // What is to be known of a transfer while it is under way.
  struct begun_transfer {
    bank::transfer::id id;
    sent_command* begin;
    std::atomic<bool> answered{false};
    begun_transfer(bank::transfer::id made, sent_command* command) : id(made), begin(command) {}
  };

  auto pick(std::int64_t low, std::int64_t high) -> std::int64_t {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  template <class Aggregate, class Command>
  auto note(const typed_id<Aggregate>& id, const Command& command) -> sent_command&;
  void open_accounts();
  void run();
  void begin();
  [[nodiscard]] auto is_over(const begun_transfer& of) -> bool;

  std::mt19937_64 random_;
  hybrid_clock clock_;
  std::unique_ptr<client> client_;
  std::counting_semaphore<outstanding> free_{outstanding};
  std::deque<sent_command> commands_;
  std::deque<begun_transfer> open_;  // In the order of their beginning.
  std::string last_seen_;            // What the newest look at one of them told.
  std::atomic<std::int64_t> longest_{0};
  std::atomic<bool> enough_{false};
  std::thread thread_;
};

}  // namespace maestro::test
