// The store contract over one SQLite connection.
#pragma once

#include <maestro/store/careful_mode.hpp>
#include <maestro/store/group_commit.hpp>
#include <maestro/store/sqlite/connection.hpp>
#include <maestro/store/sqlite/file_lock.hpp>
#include <maestro/store/sqlite/store_file.hpp>
#include <maestro/store/store.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace maestro::sqlite {

/// What a database and its stores share; gone, and with it the lock, when the last of them is.
struct source {
  std::string file;  ///< Empty for a database in memory.
  store_settings settings;
  std::optional<store_file> opened;        ///< The file, locked.
  std::optional<file_lock> lock;           ///< Beside it.
  file_guard guard;
  std::shared_ptr<connection> in_memory;   ///< The only connection to what is in memory.
  std::atomic<bool> is_cut_off{false};     ///< Nothing is tried again (`database::cut_off`).

  /// A connection of its own to the file, or the shared one. Throws `sql_error`.
  [[nodiscard]] auto connect() const -> std::shared_ptr<connection>;
  /// Throws `sql_error` when the file, or what lies beside it, is not where `with` opened it: it was removed, renamed or replaced.
  void look(const connection& with) const {
    if (opened) guard.look(opened->places(), with.companions());
  }
};

class sqlite_store final : public store, private batch_writer {
 public:
  explicit sqlite_store(std::shared_ptr<const source> from, bool only_reads = false)
      : source_(std::move(from)), only_reads_(only_reads) {}

  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override;
  auto commit_snapshot(const snapshot& snapshot) -> result<void> override;
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override;
  auto get_snapshot(const aggregate_id& id, sequence_number after, sequence_number up_to)
      -> result<std::optional<snapshot>> override;
  auto get_histories(std::span<const aggregate_id> ids, std::size_t limit)
      -> result<std::vector<aggregate_history>> override;
  auto get_heads(std::span<const aggregate_id> ids) -> result<std::vector<aggregate_head>> override;
  auto list_aggregates(std::string_view type, const aggregate_id& after, std::size_t limit)
      -> result<std::vector<aggregate_head>> override;
  auto find_command(const aggregate_id& id, const command_id& command, const timestamp& not_before)
      -> result<std::vector<event>> override;
  auto newest_timestamp() -> result<timestamp> override;
  auto query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>> override;

 private:
  auto write(std::span<const write_unit> units, std::chrono::milliseconds lock_wait) -> write_outcome override;
  // Both return the outcome when there is nothing to commit.
  auto write_at_once(std::span<const write_unit> units) -> std::optional<write_outcome>;
  auto write_one_by_one(std::span<const write_unit> units, std::vector<refusal>& refused) -> std::optional<write_outcome>;
  // The outcome when the file was taken away before the commit was reported.
  [[nodiscard]] auto lost_in_commit() const -> std::optional<write_outcome>;
  auto inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> override;
  [[nodiscard]] auto is_cut_off() const noexcept -> bool override { return source_->is_cut_off || source_->guard.is_gone(); }

  // Makes sure that nothing is left of a commit in doubt. Throws `sql_error`.
  void overwrite_doubtful();
  // Runs `work` on the connection while nobody else uses it; what SQLite refuses becomes an error.
  template <class Work>
  auto use(Work work, stage of = stage::call) -> result<std::invoke_result_t<Work, connection&>>;

  const std::shared_ptr<const source> source_;
  const bool only_reads_;
  std::shared_ptr<connection> connection_;  // Null until first needed.
  careful_mode careful_;
  bool doubtful_ = false;  // A commit that was rolled back may be in the file all the same.
};

}  // namespace maestro::sqlite
