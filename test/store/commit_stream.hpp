// A stream of commits that goes on whatever happens to the store, and knows afterwards what must be there.
#pragma once

#include "conformance.hpp"
#include "counters.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace maestro::test {

using steady_clock = std::chrono::steady_clock;

inline auto in_milliseconds(steady_clock::duration duration) -> std::int64_t {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

/// Commits on a thread of its own, batch after batch, as the aggregates of one node would: what is in doubt is submitted again,
/// what was not written is replaced. Remembers what must be in the log.
class commit_stream {
 public:
  commit_stream(database& opened, bool projecting) : projecting_(projecting), writer_(opened.open_writer()), accounts_(8) {
    for (auto& account : accounts_) account.id = make_.fresh_id();
    thread_ = std::thread([this] { run(); });
  }
  commit_stream(const commit_stream&) = delete;
  auto operator=(const commit_stream&) -> commit_stream& = delete;
  ~commit_stream() { stop(); }

  /// Waits until `count` more events are committed.
  void await_commits(std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto wanted = committed_ + count;
    const bool reached = moved_.wait_for(lock, std::chrono::minutes(1), [&] { return committed_ >= wanted || !problem_.empty(); });
    BOOST_TEST_REQUIRE(problem_.empty(), problem_);
    BOOST_TEST_REQUIRE(reached, "the stream stands still");
  }

  /// Waits until one more commit was answered `store_unavailable` or `in_doubt`.
  void await_failure() {
    std::unique_lock lock(mutex_);
    const bool reached = moved_.wait_for(lock, std::chrono::minutes(1), [this, before = failures_] { return failures_ > before; });
    BOOST_TEST_REQUIRE(reached, "no commit fails");
  }

  /// The longest that a batch took, in milliseconds.
  auto longest() -> std::int64_t {
    const std::lock_guard lock(mutex_);
    return in_milliseconds(longest_);
  }
  auto failures() -> std::size_t {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

  /// Ends the stream, with nothing in doubt, and compares.
  void audit(workbench& bench) {
    stop();
    BOOST_TEST(problem_.empty(), problem_);
    for (const auto& account : accounts_) {
      std::vector<timestamp> found;
      for (const auto& event : bench.events(account.id, {0, max_sequence(), 1'000'000})) found.push_back(event.timestamp);
      BOOST_TEST((found == account.stored), found.size() << " events are stored, " << account.stored.size() << " were reported");
      if (!projecting_ || found.empty()) continue;
      const auto rows = bench.query("SELECT value FROM counters WHERE id = $1", {account.id});
      BOOST_TEST(rows.at(0).at(0).as<std::int64_t>() == static_cast<std::int64_t>(found.size()));
    }
  }

 private:
  struct chain {
    aggregate_id id;
    std::vector<timestamp> stored;
    std::optional<commit_request> pending;
  };

  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    const auto is_open = [](const chain& account) { return account.pending.has_value(); };
    while (problem_.empty() && (!stopping_ || std::any_of(accounts_.begin(), accounts_.end(), is_open))) commit_next();
  }

  void commit_next() {
    std::vector<const commit_request*> batch;
    for (auto& account : accounts_) {
      if (!account.pending) account.pending = next(account);
      batch.push_back(&*account.pending);
    }
    const auto start = steady_clock::now();
    const auto outcomes = writer_->commit_all(batch);
    const auto took = steady_clock::now() - start;
    const std::lock_guard lock(mutex_);
    longest_ = std::max(longest_, took);
    for (std::size_t i = 0; i < accounts_.size(); ++i) take(accounts_[i], outcomes[i]);
    moved_.notify_all();
  }

  auto next(const chain& account) -> commit_request {
    const auto size = static_cast<sequence_number>(account.stored.size());
    auto request = make_.request(account.id, 2, 1, size, size == 0 ? timestamp{} : account.stored.back());
    return projecting_ ? with_projection(std::move(request), count_up) : request;
  }

  void take(chain& account, const commit_outcome& outcome) {
    const auto code = outcome.failure.code;
    failures_ += code != errc::none ? 1U : 0U;
    if (code == errc::in_doubt) {
      account.pending->in_doubt = true;
      return;
    }
    if (code != errc::none && code != errc::store_unavailable) problem_ = to_string(outcome.failure);
    for (std::size_t unit = 0; unit < outcome.committed; ++unit)
      account.stored.push_back(account.pending->units[unit].events[0].timestamp);
    committed_ += outcome.committed;
    account.pending.reset();
  }

  const bool projecting_;
  std::unique_ptr<store> writer_;
  request_maker make_;
  std::vector<chain> accounts_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable moved_;
  std::size_t committed_ = 0;
  std::size_t failures_ = 0;
  steady_clock::duration longest_{0};
  std::string problem_;
  std::thread thread_;
};

}  // namespace maestro::test
