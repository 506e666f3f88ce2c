#include <maestro/store/sqlite/database.hpp>

#include <maestro/store/redaction.hpp>
#include <maestro/store/sqlite/catalogue.hpp>
#include <maestro/store/sqlite/migrations.hpp>
#include <maestro/store/sqlite/rebuild.hpp>
#include <maestro/store/sqlite/sql.hpp>
#include <maestro/store/sqlite/sqlite_store.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

namespace maestro::sqlite {

namespace {

constexpr std::string_view scheme = "sqlite:";
constexpr std::string_view in_memory = ":memory:";

auto has_row(statement& query) -> bool {
  const bool found = query.step();
  query.reset();
  return found;
}

auto is_applied(connection& with, const migration_step& step) -> bool {
  return has_row(with.prepare(sql::has_migration).bind_text(1, step.component).bind(2, std::int64_t{step.number}));
}

// The schema's stated minimum against what this program knows.
auto check_minimum(connection& with) -> result<void> {
  auto& row = with.prepare(sql::schema_minimum);
  const std::int64_t minimum = row.step() ? row.integer(0) : 1;
  row.reset();
  return check_schema_minimum(minimum, migrations());
}

class sqlite_database final : public database {
 public:
  sqlite_database(std::shared_ptr<source> source, std::string name) : source_(std::move(source)), name_(std::move(name)) {}

  auto open_writer() -> std::unique_ptr<store> override { return std::make_unique<sqlite_store>(source_); }
  auto open_reader() -> std::unique_ptr<store> override { return std::make_unique<sqlite_store>(source_, true); }
  auto open_members() -> std::unique_ptr<member_table> override { return make_lone_member_table(identity()); }
  [[nodiscard]] auto single_owner() const noexcept -> bool override { return true; }
  [[nodiscard]] auto sql_dialect() const noexcept -> dialect override { return dialect::sqlite; }
  [[nodiscard]] auto display_name() const -> std::string override { return name_; }

  auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> override {
    auto steps = plan_migrations(migrations(), components, dialect::sqlite);
    if (!steps) return steps.failure();
    std::string current = "the table of migrations";
    try {
      const auto with = source_->connect();
      const std::lock_guard lock(with->mutex());
      source_->look(*with);
      with->execute_script(bookkeeping());
      if (auto checked = check_minimum(*with); !checked) return checked.failure();
      std::vector<std::string> applied;
      for (const auto& step : *steps) {
        current = step.name();
        transaction_scope transaction(*with, sql::begin_write);
        if (is_applied(*with, step)) continue;
        with->execute_script(step.sql);
        with->prepare(sql::record_migration).bind_text(1, step.component).bind(2, std::int64_t{step.number}).run();
        transaction.commit();
        applied.push_back(current);
      }
      auto faults = look_for_faults(*with, tables_of(*steps));
      if (faults.can_be_repaired) {
        current = "repair (" + (faults.broken.empty() ? faults.unguarded : faults.broken).front() + ")";
        transaction_scope transaction(*with, sql::begin_write);
        repair(*with);
        transaction.commit();
        const auto after = look_for_faults(*with, tables_of(*steps));
        note_repaired(faults.broken, after.broken, applied);
        note_repaired(faults.unguarded, after.unguarded, applied);
        faults = after;
      }
      source_->look(*with);
      if (auto judged = judge(std::move(faults)); !judged) return judged.failure();
      return applied;
    } catch (const sql_error& problem) {
      error failure = error_of(problem, stage::migration);
      failure.message = "migration " + current + " failed: " + failure.message;
      return failure;
    }
  }

  auto check(std::span<const migration> components) -> result<void> override {
    auto steps = plan_migrations(migrations(), components, dialect::sqlite);
    if (!steps) return steps.failure();
    try {
      const auto with = source_->connect();
      const std::lock_guard lock(with->mutex());
      const bool has_books = has_row(with->prepare(sql::has_migrations_table));
      for (const auto& step : *steps)
        if (!has_books || !is_applied(*with, step)) return missing_migration(step, name_);
      if (auto checked = check_minimum(*with); !checked) return checked.failure();
      return judge(look_for_faults(*with, tables_of(*steps)));
    } catch (const sql_error& problem) {
      return error_of(problem, stage::call);
    }
  }

  void cut_off() override { source_->is_cut_off = true; }
  auto warnings() -> std::vector<store_warning> override {
    const std::lock_guard lock(warnings_mutex_);
    return warnings_;
  }

  auto rebuild(const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> override {
    if (auto checked = check_plan(plan, dialect::sqlite); !checked) return checked.failure();
    if (plan.mode == rebuild_mode::abandon) return rebuild_progress{};  // One that did not end has left nothing.
    return sqlite::rebuild(*source_, plan, watch);
  }

 private:
  static void note_repaired(const std::vector<std::string>& was, const std::vector<std::string>& is, std::vector<std::string>& applied) {
    for (const auto& fault : was)
      if (std::find(is.begin(), is.end(), fault) == is.end()) applied.push_back("put back: " + fault.substr(0, fault.find(": `maestro")));
  }

  // Where all steps were applied: whether what they made is there.
  auto judge(schema_faults faults) -> result<void> {
    if (!faults.broken.empty()) {
      std::string all;
      for (const auto& fault : faults.broken) all += (all.empty() ? "" : "; ") + fault;
      return error{errc::store_unavailable, "store " + name_ + " is not what its migrations have made: " + all + ". `maestro migrate --store " +
                                                name_ + "` puts back what can be; a column or table that held events is for a backup"};
    }
    if (!faults.missing_tables.empty()) return missing_table(faults.missing_tables.front(), name_);
    std::vector<store_warning> found;
    for (auto& fault : faults.unguarded) found.push_back({false, "nothing keeps events from being changed or removed: " + fault});
    const std::lock_guard lock(warnings_mutex_);
    warnings_ = std::move(found);
    return {};
  }

  // Empty for a store in memory, which is another one each time, and where the table is not there.
  auto identity() const -> std::string {
    if (source_->in_memory) return {};
    try {
      const auto with = source_->connect();
      auto& row = with->prepare(sql::identify_store);
      std::string found(row.step() ? row.bytes(0) : std::string_view());
      row.reset();
      return found;
    } catch (const sql_error&) {
      return {};
    }
  }

  const std::shared_ptr<source> source_;
  const std::string name_;
  std::mutex warnings_mutex_;
  std::vector<store_warning> warnings_;
};

}  // namespace

auto open(const std::string& uri, const store_settings& settings) -> result<std::shared_ptr<database>> {
  const std::string file = uri.substr(scheme.size());
  if (file.empty()) return error{errc::invalid_setting, "the store names no file: use sqlite:FILE or sqlite::memory:"};
  if (file.starts_with("//") && !file.starts_with("///"))
    return error{errc::invalid_setting, "a file is not on a host: use sqlite:FILE, not " + redacted(uri)};

  if (settings.require_durable && file == in_memory)
    return error{errc::invalid_setting, "sqlite::memory: keeps nothing when the process ends, and maestro.store.require-durable is set: "
                                        "use sqlite:FILE or postgresql://USER@HOST/DATABASE"};

  auto from = std::make_shared<source>();
  from->settings = settings;
  if (file != in_memory) {
    auto opened = store_file::take(file);
    if (!opened) return opened.failure();
    from->opened.emplace(std::move(*opened));
    from->file = from->opened->canonical();
    auto lock = file_lock::take(from->file + ".lock");
    if (!lock) return lock.failure();
    from->lock.emplace(std::move(*lock));
  }
  try {
    // Shows at once whether the file is what it should be.
    auto first = from->connect();
    if (file == in_memory) from->in_memory = std::move(first);
  } catch (const sql_error& problem) {
    return error{errc::store_unavailable, "cannot open " + file + ": " + problem.what()};
  }
  return std::shared_ptr<database>(std::make_shared<sqlite_database>(std::move(from), uri));
}

}  // namespace maestro::sqlite
