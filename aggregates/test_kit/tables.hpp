// The test kit's store: projections run in commits on an SQLite database in memory, as they do in a node.
#pragma once

#include <maestro/aggregates/test_kit/examination.hpp>
#include <maestro/store/clock.hpp>
#include <maestro/store/store.hpp>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace maestro::detail {

/// Whose events, and how they are called in messages.
struct kit_place {
  const kit_subject& subject;
  maestro::aggregate_id id;
  std::string name;
};

/// What became of a commit.
struct commit_attempt {
  std::string title;       ///< `account "bob": open {...}`
  std::size_t events = 0;  ///< How many were committed.
  error failure;           ///< Why nothing was.
};

/// A database with the tables of some aggregate types. No member throws. What went wrong before is what every check
/// answers.
class kit_tables {
 public:
  explicit kit_tables(std::vector<kit_subject> subjects);

  /// Commits `history` as one unit. Empty, or why it could not, which is then also what every check answers.
  [[nodiscard]] auto given(const kit_place& place, const emitted_list& history) -> std::string;
  /// Evaluates a command on what the store holds, and commits its events.
  [[nodiscard]] auto when(const kit_place& place, std::string_view command, const result<std::string>& payload)
      -> commit_attempt;
  [[nodiscard]] auto query(std::string_view sql, std::span<const sql_value> parameters) -> result<std::vector<sql_row>>;

  /// Empty when as expected, or what is not.
  [[nodiscard]] auto check_rows(std::string_view sql, const result<std::vector<sql_row>>& found,
                                std::span<const sql_row> expected) const -> std::string;
  [[nodiscard]] auto check_committed(const commit_attempt& attempt) const -> std::string;
  [[nodiscard]] auto check_refused(const commit_attempt& attempt, std::string_view constraint) const -> std::string;
  /// Fills every projection anew from the log, and compares all of its tables' rows.
  [[nodiscard]] auto check_rebuild() -> std::string;

 private:
  using table_rows = std::vector<std::pair<std::string, std::vector<sql_row>>>;

  auto commit(const kit_place& place, const std::vector<emitted_event>& events, const command_id& command)
      -> result<void>;
  auto head(const aggregate_id& id) -> result<aggregate_head>;
  auto rebuild_all() -> result<void>;
  auto tables() -> result<std::vector<std::string>>;  // Names as SQL takes them.
  auto all_rows() -> result<table_rows>;              // Of the projections' tables.

  std::vector<kit_subject> subjects_;
  std::shared_ptr<database> database_;
  std::unique_ptr<store> store_;  // Null when the database could not be made; then there is a problem.
  std::unique_ptr<hybrid_clock> clock_ = std::make_unique<hybrid_clock>();
  std::vector<std::string> stores_own_;  // Tables.
  std::string problem_;
};

}  // namespace maestro::detail
