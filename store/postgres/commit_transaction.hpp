// The transaction of a batch with projections. All statements go out through libpq's pipeline mode: events and projections
// in one round trip (and one more for each query of a projection), COMMIT in another when all of it is known to be good.
#pragma once

#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/postgres/event_insert.hpp>
#include <maestro/store/projection.hpp>

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::postgres {

/// Begins when made, is rolled back unless `commit` succeeded. Throws nothing but `failure`, and `std::runtime_error` for
/// statements that are refused before they are sent.
class commit_transaction final : public transaction {
 public:
  explicit commit_transaction(connection& connection);
  commit_transaction(const commit_transaction&) = delete;
  auto operator=(const commit_transaction&) -> commit_transaction& = delete;
  ~commit_transaction() override;

  /// From now on a statement waits for a lock no longer than `limit`.
  void wait_for_locks(std::chrono::milliseconds limit);
  /// Sends events; before the statements of their projections.
  void insert(const event_insert& events);
  /// What is executed from now on belongs to unit `index`.
  void enter(std::size_t index) noexcept { unit_ = index; }
  void enter_projection(std::string_view name) override { at_work_ = name; }

  using transaction::execute;
  using transaction::query;
  void execute(std::string_view sql, std::span<const sql_value> parameters) override;
  auto query(std::string_view sql, std::span<const sql_value> parameters) -> std::vector<sql_row> override;
  void with_native(const std::function<void(const native_handle&)>& use) override;
  [[nodiscard]] auto sql_dialect() const noexcept -> dialect override { return dialect::postgres; }

  /// Waits for the answers to all that was sent. Throws the first failure there was, also one that was thrown before.
  void settle();
  /// How many events the newest `insert` wrote; known after `settle`.
  [[nodiscard]] auto inserted() const noexcept -> std::size_t { return inserted_; }
  /// Begins a part that `drop_part` can take back; the part before it, settled, is kept.
  void begin_part();
  /// Takes the part back, with the failure that was met in it. Throws when the connection is lost.
  void drop_part();
  /// Commits what is settled. From here on a lost connection leaves the outcome in doubt.
  void commit();

  /// Throws the failure there was, if there was one.
  void check() const;
  /// Where the failure came from.
  [[nodiscard]] auto failed_at() const noexcept -> stage { return failed_at_; }
  /// The unit whose statement failed.
  [[nodiscard]] auto culprit() const noexcept -> std::optional<std::size_t> { return culprit_; }
  /// The projection whose statement failed, or else the one that was at work last; empty where nobody has named one.
  [[nodiscard]] auto projection() const noexcept -> std::string_view { return failure_ ? failed_projection_ : at_work_; }
  /// The statement that failed, where it is known.
  [[nodiscard]] auto statement() const noexcept -> const std::string& { return failed_statement_; }

 private:
  // A statement whose answer is still to come.
  struct expected {
    stage of = stage::begin;
    std::size_t unit = 0;
    std::string prepares;  // The text that is prepared by it, if that is what it does.
    std::string_view projection = {};
    const std::string* statement = nullptr;  // Kept by the connection, if it stays prepared.
  };

  auto resume_after_native() -> PGTransactionStatusType;
  void send(std::string_view sql, std::span<const sql_value> parameters);
  void send_command(const char* sql, stage of);
  [[nodiscard]] auto synchronize() -> bool;
  [[nodiscard]] auto prepare(std::string_view sql, const std::string*& kept) -> std::string;
  void sent(int accepted, expected next);
  void read_answer();
  void fail(failure problem, const expected& at);
  void roll_back() noexcept;

  connection& connection_;
  std::deque<expected> expected_;
  std::size_t unit_ = 0;
  std::size_t inserted_ = 0;
  std::vector<sql_row> rows_;  // Of the newest answer.
  bool in_part_ = false;
  bool committed_ = false;
  std::optional<failure> failure_;
  stage failed_at_ = stage::begin;
  std::optional<std::size_t> culprit_;
  std::string_view at_work_;
  std::string_view failed_projection_;
  std::string failed_statement_;
};

}  // namespace maestro::postgres
