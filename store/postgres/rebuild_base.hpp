// What both ways of rebuilding are made of (rebuild_by_aggregate.cpp, rebuild_in_order.cpp): the schema of the new tables, called the
// shadow, the projection of an event, transactions, and the exchange of the tables.
#pragma once

#include <maestro/store/postgres/commit_transaction.hpp>
#include <maestro/store/postgres/postgres_store.hpp>
#include <maestro/store/postgres/rebuild_belongings.hpp>
#include <maestro/store/postgres/rebuild_session.hpp>
#include <maestro/store/postgres/rebuild_sql.hpp>
#include <maestro/store/rebuild.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::postgres {

// So many events go into one transaction, about.
inline constexpr std::size_t events_per_transaction = 1000;
// With no more new events than these in a round, commands are made to wait.
inline constexpr std::uint64_t few_events = 500;
// More than these are not projected while commands wait.
inline constexpr std::uint64_t most_events_at_last = 5000;
// Where more keep arriving than are projected, it is now or never.
inline constexpr int max_rounds = 50;
// So often a lock is tried for that others hold.
inline constexpr int max_lock_attempts = 300;

/// The only row of `rows`; `what` names the statement or the table. Throws `std::runtime_error`.
[[nodiscard]] auto first_row(const std::vector<sql_row>& rows, const std::string& what) -> const sql_row&;
[[nodiscard]] auto bytes_of(const sql_value& value) -> std::string;
/// A row of rebuild_sql::read_log or next_events.
[[nodiscard]] auto event_of(const sql_row& row) -> event;
/// How much of `rows`, of the same statements, is bodies and metadata.
[[nodiscard]] auto body_bytes(const std::vector<sql_row>& rows) -> std::size_t;
/// Whether another row has a key already.
[[nodiscard]] auto is_taken(const failure& problem) -> bool;

/// One rebuild. Used by one thread; throws `failure` and `rebuild_stopped`.
class rebuild_base {
 public:
  rebuild_base(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch);
  rebuild_base(const rebuild_base&) = delete;
  auto operator=(const rebuild_base&) -> rebuild_base& = delete;
  virtual ~rebuild_base() = default;

  /// As the plan's mode says.
  auto run() -> rebuild_progress;

 protected:
  virtual void fill() = 0;
  /// Makes what follows the log, in the transaction that makes the shadow.
  virtual void follow_log() = 0;

  void drop_shadow();
  void make_shadow();
  /// Throws `rebuild_stopped` where something that hangs on the old tables would be lost. A shadow of this attempt goes, one of an
  /// earlier attempt stays.
  void refuse_losses();
  [[nodiscard]] auto made_by() const -> const std::string& { return schema_; }

  void project(commit_transaction& transaction, const event& row, const std::string& type);
  /// Keeps what hangs on the old tables from being changed, and looks at it; within the `transaction` of the exchange, before commands wait.
  void prepare_exchange(commit_transaction& transaction);
  /// The new tables take the places of the old ones.
  void take_places(commit_transaction& transaction);

  /// Commits what `work` does, and names the event at which it fails.
  void in_transaction(const std::function<void(commit_transaction&)>& work);
  /// Runs `work`, which leaves nothing behind when it throws, again while others hold what it needs.
  void patiently(const std::function<void()>& work);
  /// Waits a moment after `problem`, the `attempt`th failure. Throws it where it does not pass.
  void pause_after(const failure& problem, int attempt);

  [[nodiscard]] auto session() -> rebuild_session& { return session_; }
  [[nodiscard]] auto reader() -> postgres_store& { return reader_; }
  [[nodiscard]] auto plan() const -> const rebuild_plan& { return plan_; }
  [[nodiscard]] auto progress() -> rebuild_progress& { return progress_; }
  void tell() const { tell_rebuild(plan_, watch_, progress_); }

  /// What is executed from now on belongs to no event.
  static void enter_none(commit_transaction& transaction) { transaction.enter(no_row); }
  void forget_rows() { rows_.clear(); }
  [[nodiscard]] auto failed_at(const event& row, const failure& problem) const -> error;

 private:
  // An event on its way into the new tables.
  struct row_name {
    aggregate_id id;
    sequence_number sequence;
    std::string type;
  };
  static constexpr std::size_t no_row = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] auto refusal(const std::vector<std::string>& lost) const -> rebuild_stopped;
  auto run_as_told() -> rebuild_progress;
  void name_things();
  void claim();
  void make_tables();
  [[nodiscard]] auto failed_at(const row_name& row, std::string_view why) const -> error;

  const rebuild_plan& plan_;
  const rebuild_watch& watch_;
  rebuild_progress progress_;
  const std::chrono::milliseconds statement_timeout_;
  rebuild_session session_;
  postgres_store reader_;
  std::map<std::string, std::shared_ptr<const projector>> projectors_;
  std::string schema_;  // What makes the tables, to tell whether an earlier attempt made the same.
  std::vector<row_name> rows_;  // Of the transaction under way.
  bool made_here_ = false;      // The shadow is this attempt's own.
  rebuild_belongings kept_;     // As prepare_exchange has seen them.
};

/// For projections whose rows depend on one aggregate each.
[[nodiscard]] auto rebuild_by_aggregate(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    -> rebuild_progress;
/// For those that are `ordered_between_aggregates`.
[[nodiscard]] auto rebuild_in_order(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    -> rebuild_progress;

}  // namespace maestro::postgres
