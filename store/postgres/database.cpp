#include <maestro/store/postgres/database.hpp>

#include <maestro/store/postgres/catalogue.hpp>
#include <maestro/store/postgres/citus.hpp>
#include <maestro/store/postgres/in_transaction.hpp>
#include <maestro/store/postgres/member_rows.hpp>
#include <maestro/store/postgres/migrations.hpp>
#include <maestro/store/postgres/postgres_store.hpp>
#include <maestro/store/postgres/rebuild.hpp>
#include <maestro/store/postgres/rights.hpp>
#include <maestro/store/postgres/row.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace maestro::postgres {

namespace {

// What a database says of its schema.
struct schema_state : schema_look {
  std::int64_t minimum = 1;
  distribution on_citus;
  std::set<std::pair<std::string, int>> applied;

  [[nodiscard]] auto has(const migration_step& step) const -> bool { return applied.contains({step.component, step.number}); }
};

// However many steps there are, two round trips (on Citus three): what starts waits for them.
auto look_at(connection& with, std::span<const projection_table> tables) -> schema_state {
  schema_state state{look_for_schema(with, tables), 1, {}, {}};
  if (state.has_citus) state.on_citus = look_at_distribution(with);
  if (!state.has_books) return state;
  pqxx::nontransaction transaction(with.pqxx());
  for (const auto& row : transaction.exec(sql::look_at_schema)) {
    state.minimum = row[0].as<std::int64_t>();
    if (!row[1].is_null()) state.applied.emplace(row[1].as<std::string>(), row[2].as<int>());
  }
  return state;
}

// A log is cut into partitions when it is made, and stays as it is.
auto check_partitions(int found, int wanted) -> result<void> {
  if (wanted == 0 || found == wanted) return {};
  return error{errc::invalid_setting, "store.partitions is " + std::to_string(wanted) + ", but event_log " +
                                          (found > 0 ? "has " + std::to_string(found) : "was made without any") +
                                          ", which does not change; leave the setting out"};
}

class postgres_database final : public database {
 public:
  explicit postgres_database(std::shared_ptr<const source> from)
      : source_(std::move(from)), own_steps_(migrations(source_->settings.partitions)) {}

  auto open_writer() -> std::unique_ptr<store> override { return std::make_unique<postgres_store>(source_, take_spare()); }
  auto open_reader() -> std::unique_ptr<store> override {
    return std::make_unique<postgres_store>(source_, take_spare(), postgres_store::purpose::only_reads);
  }
  auto open_members() -> std::unique_ptr<member_table> override { return std::make_unique<member_rows>(source_); }
  [[nodiscard]] auto single_owner() const noexcept -> bool override { return false; }
  [[nodiscard]] auto sql_dialect() const noexcept -> dialect override { return dialect::postgres; }
  [[nodiscard]] auto display_name() const -> std::string override { return source_->display_name; }

  auto migrate(std::span<const migration> components) -> result<std::vector<std::string>> override {
    auto steps = plan_migrations(own_steps_, components, dialect::postgres);
    if (!steps) return steps.failure();
    std::unique_ptr<connection> over;
    const auto tables = tables_of(*steps);
    auto found = repeat(over, "the table of migrations", [&](connection& with) -> result<schema_state> {
      auto state = look_at(with, tables);
      if (state.has_books || !state.forbidden.empty()) return state;
      make_books(with);
      return look_at(with, tables);
    });
    if (!found) return found.failure();
    if (!found->has_books) return forbidden(*found);
    if (auto checked = check_schema_minimum(found->minimum, own_steps_); !checked) return checked.failure();
    std::vector<const migration_step*> missing;
    for (const auto& step : *steps)
      if (!found->has(step)) missing.push_back(&step);
    if (!found->on_citus.schema.empty()) {
      if (!missing.empty()) return refused_while_distributed(found->on_citus, "migration " + missing.front()->name());
      if (found->faults.can_be_repaired) return refused_while_distributed(found->on_citus, "a repair of the store");
    }
    std::vector<std::string> applied;
    for (const auto* step : missing) {
      auto done = repeat(over, step->name(), [&](connection& with) { return apply(with, *step); });
      if (!done) return done.failure();
      if (*done) applied.push_back(step->name());
    }
    const auto look_again = [&](connection& with) -> result<schema_state> { return look_at(with, tables); };
    if (!missing.empty()) found = repeat(over, "the look at the schema", look_again);
    if (found && found->faults.can_be_repaired) {
      const auto before = found->faults;
      auto done = repeat(over, "repair (" + (before.broken.empty() ? before.unguarded : before.broken).front() + ")", [&](connection& with) { return repair(with); });
      if (!done) return done.failure();
      found = repeat(over, "the look at the schema", look_again);
      if (found) note_repaired(before, found->faults, applied);
    }
    if (!found) return found.failure();
    if (auto checked = judge(*found); !checked) return checked.failure();
    keep_spare(std::move(over), found->faults);
    return applied;
  }

  auto check(std::span<const migration> components) -> result<void> override {
    auto steps = plan_migrations(own_steps_, components, dialect::postgres);
    if (!steps) return steps.failure();
    std::unique_ptr<connection> with;
    schema_state found;
    try {
      with = source_->connect();
      found = look_at(*with, tables_of(*steps));
    } catch (...) {
      return said(failure_in_flight(with ? with->raw() : nullptr), stage::call);
    }
    if (!found.has_books && !found.forbidden.empty()) return forbidden(found);
    for (const auto& step : *steps)
      if (!found.has(step)) return missing_migration(step, source_->display_name);
    if (auto checked = check_schema_minimum(found.minimum, own_steps_); !checked) return checked.failure();
    if (auto checked = judge(found); !checked) return checked.failure();
    keep_spare(std::move(with), found.faults);
    return {};
  }

  void cut_off() override { source_->lines->cut(); }
  auto warnings() -> std::vector<store_warning> override {
    const std::lock_guard lock(spare_mutex_);
    return warnings_;
  }

  auto rebuild(const rebuild_plan& plan, const rebuild_watch& watch) -> result<rebuild_progress> override {
    if (auto checked = check_plan(plan, dialect::postgres); !checked) return checked.failure();
    if (auto checked = check_place(plan); !checked) return checked.failure();
    return postgres::rebuild(source_, plan, watch);
  }

 private:
  // Tables cannot change places in a schema that Citus has distributed.
  [[nodiscard]] auto check_place(const rebuild_plan& plan) const -> result<void> {
    std::unique_ptr<connection> with;
    try {
      with = source_->connect();
      const auto found = look_at(*with, {});
      if (found.on_citus.schema.empty()) return {};
      return refused_while_distributed(found.on_citus, "rebuilding projection \"" + plan.projection + "\"");
    } catch (...) {
      return said(failure_in_flight(with ? with->raw() : nullptr), stage::call);
    }
  }

  // One transaction under the lock that keeps other migrations away. True when the step was not there before.
  auto apply(connection& with, const migration_step& step) -> result<bool> {
    return in_transaction(with, [&](pqxx::work& transaction) {
      transaction.exec(sql::take_migration_lock);
      const auto known = with.run(transaction, sql::has_migration, step.component, step.number);
      if (first_row(known, "the look at maestro_migrations")[0].as<bool>()) return false;
      transaction.exec("SET LOCAL lock_timeout = " + std::to_string(source_->settings.lock_timeout.count()));
      transaction.exec(step.sql);
      with.run(transaction, sql::record_migration, step.component, step.number);
      with.commit(transaction);
      return true;
    });
  }

  // Puts back what the steps had made.
  auto repair(connection& with) -> result<bool> {
    return in_transaction(with, [&](pqxx::work& transaction) {
      transaction.exec(sql::take_migration_lock);
      transaction.exec("SET LOCAL lock_timeout = " + std::to_string(source_->settings.lock_timeout.count()));
      transaction.exec(repair_script());
      with.commit(transaction);
      return true;
    });
  }

  static void note_repaired(const schema_faults& before, const schema_faults& after, std::vector<std::string>& applied) {
    const auto note = [&applied](const std::vector<std::string>& was, const std::vector<std::string>& is) {
      for (const auto& fault : was)
        if (std::find(is.begin(), is.end(), fault) == is.end()) applied.push_back("put back: " + fault.substr(0, fault.find(": `maestro")));
    };
    note(before.broken, after.broken);
    note(before.unguarded, after.unguarded);
  }

  // Where all steps were applied: whether what they made is there.
  [[nodiscard]] auto judge(const schema_state& found) const -> result<void> {
    if (auto checked = check_distribution(found.on_citus); !checked) return checked.failure();
    if (auto checked = check_partitions(found.partitions, source_->settings.partitions); !checked) return checked.failure();
    if (!found.faults.broken.empty()) {
      std::string all;
      for (const auto& fault : found.faults.broken) all += (all.empty() ? "" : "; ") + fault;
      return error{errc::store_unavailable,
                   "store " + source_->display_name + " is not what its migrations have made: " + all +
                       ". `maestro migrate --store " + source_->display_name +
                       "` puts back what can be; a column or table that held events is for a backup"};
    }
    if (!found.faults.missing_tables.empty()) return missing_table(found.faults.missing_tables.front(), source_->display_name);
    return {};
  }

  [[nodiscard]] auto forbidden(const schema_state& found) const -> error {
    return {errc::invalid_setting, "store " + source_->display_name + ": the role may not use schema " +
                                       found.forbidden + " of its search_path: GRANT USAGE ON SCHEMA " + found.forbidden +
                                       " TO it"};
  }

  // Makes the tables that say what is applied. Only where they are missing: a role that may not create tables can still start.
  static void make_books(connection& with) {
    in_transaction(with, [&](pqxx::work& transaction) {
      transaction.exec(sql::take_migration_lock);
      transaction.exec(bookkeeping());
      with.commit(transaction);
    });
  }

  // Runs `work` over the connection in `with`, and again, over another one, after a lock that was not free in time, or a lost connection:
  // it is safe to run twice.
  template <class Work>
  auto repeat(std::unique_ptr<connection>& with, const std::string& what, Work work)
      -> std::invoke_result_t<Work, connection&> {
    for (int attempt = 0;; ++attempt) {
      try {
        if (!with) with = source_->connect();
        return work(*with);
      } catch (...) {
        const failure problem = failure_in_flight(with ? with->raw() : nullptr);
        const auto status = outcome_of(problem, stage::commit).status;
        const bool lost = status == write_status::in_doubt && spoils_connection(problem);
        const bool passing = with && (status == write_status::contention || lost);
        if (!passing || attempt == source_->settings.max_retries)
          return with ? said(problem, stage::migration, "migration " + what + " failed: ", advice(*with, problem))
                      : said(problem, stage::call);
        with.reset();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds{std::min(50 << std::min(attempt, 5), 1000)});
    }
  }

  // The connection that has seen the schema is the first store's: a node that starts has one less to wait for.
  void keep_spare(std::unique_ptr<connection> seen, const schema_faults& faults) {
    std::vector<store_warning> found;
    for (const auto& fault : faults.unguarded) {
      const bool is_lift = fault.find("event_log_lift_timestamp") != fault.npos;
      found.push_back({false, (is_lift ? "an application of Maestro for Elixir on this database may read events out of order, and apply them twice: "
                                       : "nothing keeps events from being changed or removed: ") + fault});
    }
    if (!seen->weaknesses().empty())
      found.push_back({true, "NOT DURABLE: the server can lose events that were committed when it crashes (" + seen->weaknesses() +
                                 "); maestro.store.require-durable = true refuses such a server"});
    const std::lock_guard lock(spare_mutex_);
    spare_ = std::move(seen);
    warnings_ = std::move(found);
  }
  auto take_spare() -> std::unique_ptr<connection> {
    const std::lock_guard lock(spare_mutex_);
    return std::move(spare_);
  }

  [[nodiscard]] auto said(const failure& problem, stage stage, const std::string& what = {},
                          const std::string& then = {}) const -> error {
    error failure = problem.is_setting() ? error{errc::invalid_setting, problem.what()} : error_of(problem, stage);
    failure.message = "store " + source_->display_name + ": " + what + failure.message + then;
    return failure;
  }
  // What to do about a migration that was forbidden; empty for all other problems.
  [[nodiscard]] auto advice(connection& with, const failure& problem) const -> std::string {
    if (error_of(problem, stage::migration).code != errc::invalid_setting) return {};
    try {
      return ". " + advice_for_migrating(look_at_rights(with), source_->display_name);
    } catch (const failure&) {
      return {};
    }
  }

  const std::shared_ptr<const source> source_;
  const std::vector<migration_step> own_steps_;
  std::mutex spare_mutex_;
  std::unique_ptr<connection> spare_;
  std::vector<store_warning> warnings_;
};

}  // namespace

auto open(const std::string& uri, const store_settings& settings) -> result<std::shared_ptr<database>> {
  if (auto checked = connection::check_uri(uri); !checked) return checked.failure();
  std::random_device random;
  const auto run = (static_cast<std::uint64_t>(random()) << 32 | random()) >> 1;
  auto from = std::make_shared<source>(source{uri, redact_uri(uri), settings, static_cast<std::int64_t>(run | 1), std::make_unique<line_cutter>()});
  return std::shared_ptr<database>(std::make_shared<postgres_database>(std::move(from)));
}

}  // namespace maestro::postgres
