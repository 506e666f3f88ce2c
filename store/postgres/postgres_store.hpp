// The store contract over one connection to PostgreSQL, which is made when first needed and again after a loss.
#pragma once

#include <maestro/store/careful_mode.hpp>
#include <maestro/store/group_commit.hpp>
#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/postgres/event_insert.hpp>
#include <maestro/store/store.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace maestro::postgres {

/// Where connections come from.
struct source {
  std::string uri;
  std::string display_name;
  store_settings settings;
  std::int64_t run = 0;  ///< Marks the connections; drawn anew for each process that opens the store. Not 0.
  std::unique_ptr<line_cutter> lines = std::make_unique<line_cutter>();

  std::shared_ptr<std::atomic<bool>> sessions_last = std::make_shared<std::atomic<bool>>(false);  ///< Known of a pooler.

  /// Throws `failure`.
  [[nodiscard]] auto connect() const -> std::unique_ptr<connection> {
    return std::make_unique<connection>(uri, settings, *lines, run, sessions_last.get());
  }
};

class postgres_store final : public store, private batch_writer {
 public:
  enum class purpose : std::uint8_t { writes, only_reads };

  /// `ready`: a connection that was made for something else, or none.
  explicit postgres_store(std::shared_ptr<const source> from, std::unique_ptr<connection> ready = nullptr,
                          purpose is = purpose::writes)
      : source_(std::move(from)), purpose_(is), connection_(std::move(ready)) {}

  auto commit_all(std::span<const commit_request* const> requests) -> std::vector<commit_outcome> override;
  auto commit_snapshot(const snapshot& snapshot) -> result<void> override;
  auto get_events(const aggregate_id& id, event_range range) -> result<std::vector<event>> override;
  auto scan_events(const aggregate_id& id, event_range range, const take_events& take) -> result<void> override;
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
  auto inspect(std::span<const write_unit> units) -> result<std::vector<unit_status>> override;
  [[nodiscard]] auto is_cut_off() const noexcept -> bool override { return source_->lines->is_cut(); }

  auto insert_alone(const event_insert& insert) -> write_outcome;
  // The connection, made if there is none that can be used. Throws `failure`.
  auto connected() -> connection&;
  // The failure behind the exception in flight, with what it means for the connection. Only for use in a `catch` block.
  auto noted_failure() -> failure;
  // Makes sure that the server process whose commit is in doubt is gone. Throws `failure` when it cannot.
  void end_doubtful_backend();
  [[nodiscard]] auto named(error failure) const -> error;

  // Runs `work` on the connection, on a new one when the old turns out to be lost.
  template <class Work>
  auto use(Work work, stage of = stage::call) -> result<std::invoke_result_t<Work, connection&>>;

  const std::shared_ptr<const source> source_;
  const purpose purpose_;
  std::unique_ptr<connection> connection_;
  bool is_read_only_ = false;  // The session of `connection_`.
  std::optional<backend> doubtful_;
  careful_mode careful_;
};

}  // namespace maestro::postgres
