#include <maestro/store/sqlite/rebuild.hpp>

#include <maestro/store/page_sizer.hpp>
#include <maestro/store/sqlite/projection_transaction.hpp>
#include <maestro/store/sqlite/sql.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sqlite3.h>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace maestro::sqlite {

namespace {

constexpr std::size_t events_per_page = 1000;
// Commits that follow close on each other leave little room between them.
constexpr std::chrono::seconds patience{60};
// How many steps of SQLite's machine, some 10 ms, go by between two looks at whether the rebuild is to go on.
constexpr int steps_between_looks = 1'000'000;

// While it lives, `go_on` is called within long statements (the list of aggregates, an index), which end when it throws.
class interruptible {
 public:
  interruptible(connection& with, std::function<void()> go_on) : raw_(with.raw()), go_on_(std::move(go_on)) {
    sqlite3_progress_handler(raw_, steps_between_looks, look, this);
  }
  interruptible(const interruptible&) = delete;
  auto operator=(const interruptible&) -> interruptible& = delete;
  ~interruptible() { sqlite3_progress_handler(raw_, 0, nullptr, nullptr); }

  /// What `go_on` threw, if it did.
  [[nodiscard]] auto reason() const -> const std::exception_ptr& { return reason_; }

 private:
  static auto look(void* self) -> int {
    auto& my = *static_cast<interruptible*>(self);
    try {
      my.go_on_();
      return 0;
    } catch (...) {
      my.reason_ = std::current_exception();
      return 1;
    }
  }

  sqlite3* const raw_;
  const std::function<void()> go_on_;
  std::exception_ptr reason_;
};

// One call of `rebuild`.
class rebuilder {
 public:
  rebuilder(connection& with, const source& from, const rebuild_plan& plan, const rebuild_watch& watch)
      : connection_(with), source_(from), plan_(plan), watch_(watch) {
    for (const auto& each : plan.sources) projectors_.emplace(each.aggregate_type, each.projector);
  }

  auto run() -> rebuild_progress {
    const interruptible guard(connection_, [this] { tell(); });
    try {
      return rebuild();
    } catch (...) {
      if (guard.reason()) std::rethrow_exception(guard.reason());
      throw;
    }
  }

 private:
  auto rebuild() -> rebuild_progress {
    connection alone("", source_.settings);
    make_tables(alone);
    const auto tables = tables_of(alone);
    connection_.wait_for_locks(patience);
    transaction_scope transaction(connection_, sql::begin_write);
    connection_.wait_for_locks(source_.settings.lock_timeout);
    progress_.paused = true;
    refuse_losses(alone, tables);
    const auto carried = statements_of_others(alone, tables);
    connection_.execute_script(sql::defer_foreign_keys);
    for (const auto& [name, kind] : tables) connection_.execute_script("DROP " + kind + " IF EXISTS " + name);
    make_tables(connection_);
    list_aggregates();
    project_log();
    carry_over(carried);
    for (const auto& step : plan_.schema)
      connection_.prepare(sql::record_migration_once).bind_text(1, step.component).bind(2, std::int64_t{step.number}).run();
    connection_.execute_script(sql::drop_rebuild_list);
    source_.look(connection_);
    commit(transaction);
    source_.look(connection_);
    return progress_;
  }

  void make_tables(connection& where) const {
    for (const auto& step : plan_.schema) {
      try {
        where.execute_script(step.sqlite);
      } catch (const sql_error& problem) {
        throw rebuild_stopped{rebuild_step_failed(step, problem.what())};
      }
    }
  }

  // Which tables and views the schema makes: seen where it makes them alone. Quoted names; views first.
  static auto tables_of(connection& alone) -> std::vector<std::pair<std::string, std::string>> {
    std::vector<std::pair<std::string, std::string>> tables;
    for (const auto& row : alone.prepare(sql::list_tables).rows())
      tables.emplace_back(row.at(0).as<std::string>(), row.at(1).as<std::string>());
    return tables;
  }

  static auto names(connection& where, const char* query, const std::string& table) -> std::set<std::string> {
    std::set<std::string> found;
    for (const auto& row : where.prepare(query).bind_text(1, table).rows()) found.insert(row.at(0).as<std::string>());
    return found;
  }

  // What would go with the old tables. Views of other tables' and references to these go by name, and stay.
  void refuse_losses(connection& alone, const std::vector<std::pair<std::string, std::string>>& tables) {
    std::string lost;
    for (const auto& [table, kind] : tables) {
      if (kind != "TABLE") continue;
      const auto made = names(alone, sql::columns_of_table, table);
      for (const auto& column : names(connection_, sql::columns_of_table, table))
        if (!made.contains(column)) lost += (lost.empty() ? "" : "; ") + ("column " + table + "." + column + ", which no migration step makes");
      for (const auto& child : names(connection_, sql::dependent_rows, table))
        if (std::none_of(tables.begin(), tables.end(), [&](const auto& each) { return each.first == child; }))
          lost += (lost.empty() ? "" : "; ") + ("rows of table " + child + ", which follow those of " + table + " (ON DELETE)");
    }
    if (lost.empty()) return;
    throw rebuild_stopped{{errc::invalid_argument, "projection \"" + plan_.projection + "\": its tables cannot be replaced, since this would be lost: " + lost +
                                               ". Nothing was changed. Take it away, rebuild, and put it back, or make it part of the projection's migration steps"}};
  }

  // The indexes and triggers that were made by hand.
  auto statements_of_others(connection& alone, const std::vector<std::pair<std::string, std::string>>& tables) -> std::vector<std::string> {
    std::vector<std::string> statements;
    for (const auto& [table, kind] : tables) {
      const auto made = names(alone, sql::names_on_table, table);
      for (const auto& row : connection_.prepare(sql::statements_on_table).bind_text(1, table).rows())
        if (!made.contains(row.at(0).as<std::string>())) statements.push_back(row.at(1).as<std::string>());
    }
    return statements;
  }

  void carry_over(const std::vector<std::string>& statements) {
    for (const auto& statement : statements) {
      try {
        connection_.execute_script(statement);
      } catch (const sql_error& problem) {
        throw rebuild_stopped{{errc::projection_failed, "projection \"" + plan_.projection + "\": its new rows do not fit what was made by hand: " + statement +
                                                      ": " + problem.what()}};
      }
    }
  }

  // Whose events count, and as which type: rows of an application of the seed have none of their own.
  void list_aggregates() {
    connection_.execute_script(sql::create_rebuild_list);
    for (const auto& [type, projector] : projectors_) connection_.prepare(sql::add_to_rebuild_list).bind_text(1, type).run();
    progress_.total = static_cast<std::uint64_t>(connection_.prepare(sql::count_rebuild_list).rows().at(0).at(0).as<std::int64_t>());
    tell();
  }

  void project_log() {
    projection_transaction transaction(connection_);
    std::int64_t last = 0;
    page_sizer pages(events_per_page);
    while (true) {
      const auto page = connection_.prepare(sql::read_log).bind(1, last).bind(2, static_cast<std::int64_t>(pages.next())).rows();
      if (page.empty()) return;
      std::size_t bytes = 0;
      for (const auto& row : page) {
        const auto next = event_of(row);
        bytes += next.body.size() + next.metadata.size();
        project(transaction, next, row.at(1).as<std::string>());
      }
      pages.saw(page.size(), bytes);
      last = page.back().at(0).as<std::int64_t>();
      progress_.done += page.size();
      tell();
    }
  }

  void project(projection_transaction& transaction, const event& row, const std::string& type) {
    try {
      projectors_.at(type)->project(transaction, row);
      transaction.rethrow_first_error();
    } catch (const std::exception& problem) {
      throw rebuild_stopped{rebuild_event_failed(plan_, row.aggregate_id, row.sequence, row.type, problem.what())};
    }
  }

  void commit(transaction_scope& transaction) const {
    try {
      transaction.commit();
    } catch (const sql_error& problem) {  // A reference that leads nowhere.
      const error said = error_of(problem, stage::commit);
      throw rebuild_stopped{{said.code, "projection \"" + plan_.projection + "\": " + said.message}};
    }
  }

  // A row of sql::read_log.
  static auto event_of(const sql_row& row) -> event {
    event read;
    read.timestamp = timestamp::from_bytes(row.at(2).as<sql_bytes>().bytes).value();
    read.aggregate_id = aggregate_id::from_bytes(row.at(3).as<sql_bytes>().bytes).value();
    read.sequence = static_cast<sequence_number>(row.at(4).as<std::int64_t>());
    read.type = row.at(5).as<std::string>();
    read.body = row.at(6).as<std::string>();
    if (!row.at(7).is_null()) read.aggregate_type = row.at(7).as<std::string>();
    if (!row.at(8).is_null()) read.command_id = command_id::from_bytes(row.at(8).as<sql_bytes>().bytes);
    if (!row.at(9).is_null()) read.metadata = row.at(9).as<std::string>();
    return read;
  }

  void tell() const { tell_rebuild(plan_, watch_, progress_); }

  connection& connection_;
  const source& source_;
  const rebuild_plan& plan_;
  const rebuild_watch& watch_;
  std::map<std::string, std::shared_ptr<const projector>> projectors_;
  rebuild_progress progress_;
};

}  // namespace

auto rebuild(const source& from, const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> {
  try {
    const auto with = from.connect();
    const std::lock_guard lock(with->mutex());
    return rebuilder(*with, from, plan, watch).run();
  } catch (const rebuild_stopped& reason) {
    return reason.why;
  } catch (const sql_error& problem) {
    return error_of(problem, stage::migration);
  } catch (const std::exception& problem) {
    return error{errc::internal_error, problem.what()};
  }
}

}  // namespace maestro::sqlite
