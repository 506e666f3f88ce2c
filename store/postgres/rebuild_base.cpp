#include <maestro/store/postgres/rebuild_base.hpp>

#include <maestro/store/postgres/values.hpp>

#include <exception>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <variant>

namespace maestro::postgres {

namespace {

auto quoted_text(std::string_view text) -> std::string {
  std::string quoted = "'";
  for (const char letter : text) quoted.append(letter == '\'' ? 2 : 1, letter);
  return quoted + "'";
}

auto explained(const failure& problem) -> std::string {
  std::string why = problem.what();
  if (!problem.constraint().empty()) why += " (constraint \"" + problem.constraint() + "\")";
  if (problem.sqlstate() == "23505" || problem.sqlstate() == "42P10")
    why += "; where rows depend on the order between aggregates, the projection says ordered_between_aggregates";
  return why;
}

}  // namespace

auto bytes_of(const sql_value& value) -> std::string { return value.as<sql_bytes>().bytes; }

auto first_row(const std::vector<sql_row>& rows, const std::string& what) -> const sql_row& {
  if (rows.empty()) throw std::runtime_error(what + " has no row, where one always is");
  return rows.front();
}

auto event_of(const sql_row& row) -> event {
  event read;
  read.timestamp = timestamp::from_bytes(bytes_of(row.at(0))).value();
  read.aggregate_id = aggregate_id::from_bytes(bytes_of(row.at(1))).value();
  read.sequence = static_cast<sequence_number>(row.at(2).as<std::int64_t>());
  read.type = row.at(3).as<std::string>();
  read.body = json_from_jsonb(row.at(4).as<std::string>());
  if (!row.at(5).is_null()) read.aggregate_type = row.at(5).as<std::string>();
  if (!row.at(6).is_null()) read.command_id = command_id::from_bytes(bytes_of(row.at(6)));
  if (!row.at(7).is_null()) read.metadata = json_from_jsonb(row.at(7).as<std::string>());
  return read;
}

auto body_bytes(const std::vector<sql_row>& rows) -> std::size_t {
  std::size_t bytes = 0;
  for (const auto& row : rows)
    for (const std::size_t column : {4, 7})
      if (const auto* text = std::get_if<std::string>(&row.at(column).get())) bytes += text->size();
  return bytes;
}

auto is_taken(const failure& problem) -> bool { return problem.sqlstate() == "23505" || problem.sqlstate() == "23P01"; }

rebuild_base::rebuild_base(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    : plan_(plan), watch_(watch), statement_timeout_(from->settings.statement_timeout), session_(*from, [this] { tell(); }), reader_(from) {
  schema_ = "-- form 4\n";  // Of the shadow itself.
  std::string types;
  for (const auto& each : plan.sources) {
    projectors_.emplace(each.aggregate_type, each.projector);
    types += (types.empty() ? "ARRAY[" : ",") + quoted_text(each.aggregate_type);
  }
  session_.define("types", types + "]::text[]");
  for (const auto& step : plan.schema) schema_ += step.postgres + ";\n";
}

// A stop may cost the connection. That it was stopped is the reason then, not that the connection is gone.
auto rebuild_base::run() -> rebuild_progress {
  try {
    return run_as_told();
  } catch (const failure&) {
    if (session_.stopped()) std::rethrow_exception(session_.stopped());
    throw;
  }
}

auto rebuild_base::run_as_told() -> rebuild_progress {
  name_things();
  claim();
  if (plan_.mode != rebuild_mode::resume) drop_shadow();
  if (plan_.mode != rebuild_mode::abandon) fill();
  return progress_;
}

void rebuild_base::name_things() {
  const auto found = session_.query(rebuild_sql::home);
  const auto& row = first_row(found, "the look for the store's schema");
  if (row.at(0).is_null() || !row.at(1).as<bool>())
    throw rebuild_stopped{{errc::store_unavailable, "the store's tables are missing; run the node's program with --migrate"}};
  const auto home = row.at(0).as<std::string>();
  std::string letters;
  for (const char letter : plan_.projection)
    if (letters.size() < 24 && ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_'))
      letters += letter;
  const auto print = sha256_16(home + '\0' + plan_.projection);
  const auto shadow = "maestro_rebuild_" + letters + "_" + hex({reinterpret_cast<const char*>(print.data()), 8});
  session_.define("home", home);
  session_.define("shadow", shadow);
  session_.define("trigger", shadow);
  (void)session_.query(rebuild_sql::use_shadow);
}

// One rebuild of a projection at a time. The lock is the session's: it goes with the process.
void rebuild_base::claim() {
  if (!first_row(session_.query(rebuild_sql::take_lock), "the lock of a rebuild").at(0).as<bool>())
    throw rebuild_stopped{{errc::store_in_use, "projection \"" + plan_.projection + "\" is being rebuilt already"}};
}

void rebuild_base::drop_shadow() {
  patiently([this] { (void)session_.script(rebuild_sql::drop_shadow); });
  made_here_ = false;
}

void rebuild_base::make_shadow() {
  patiently([this] {
    rebuild_transaction transaction(session_);
    (void)session_.script(rebuild_sql::create_shadow);
    make_tables();
    follow_log();
    transaction.commit();
  });
  made_here_ = true;
}

void rebuild_base::refuse_losses() {
  const auto found = look_for_belongings(session_);
  if (found.lost.empty()) return;
  if (made_here_) drop_shadow();  // What an earlier attempt has made may hold hours of work.
  throw refusal(found.lost);
}

auto rebuild_base::refusal(const std::vector<std::string>& lost) const -> rebuild_stopped {
  std::string all;
  for (const auto& each : lost) all += (all.empty() ? "" : "; ") + each;
  return {{errc::invalid_argument, "projection \"" + plan_.projection + "\": its tables cannot be replaced, since this would be lost: " + all +
                                       ". Nothing was changed. Take it away, rebuild, and put it back, or make it part of the projection's migration steps"}};
}

void rebuild_base::make_tables() {
  for (const auto& step : plan_.schema) {
    try {
      session_.with().execute_script(step.postgres);
    } catch (const failure& problem) {
      if (problem.connection_lost()) throw;
      throw rebuild_stopped{rebuild_step_failed(step, problem.what())};
    }
  }
}

void rebuild_base::project(commit_transaction& transaction, const event& row, const std::string& type) {
  const auto projector = projectors_.find(type);
  if (projector == projectors_.end()) return;
  rows_.push_back({row.aggregate_id, row.sequence, row.type});
  transaction.enter(rows_.size() - 1);
  try {
    projector->second->project(transaction, row);
  } catch (const failure&) {
    throw;
  } catch (const std::exception& problem) {
    throw rebuild_stopped{failed_at(rows_.back(), problem.what())};
  }
}

void rebuild_base::prepare_exchange(commit_transaction& transaction) {
  transaction.with_native([this](const native_handle&) {
    (void)session_.script(rebuild_sql::hold_old_tables);
    kept_ = look_for_belongings(session_);
    if (!kept_.lost.empty()) throw refusal(kept_.lost);
    if (!kept_.indexes.empty())
      throw rebuild_stopped{{errc::store_unavailable, "projection \"" + plan_.projection + "\": index " + kept_.indexes.front() +
                                                          " was made while the tables were rebuilt; rebuild again"}};
  });
}

void rebuild_base::take_places(commit_transaction& transaction) {
  enter_none(transaction);
  transaction.with_native([this](const native_handle&) {
    try {
      // In one go: commands wait.
      std::string all = rebuild_sql::swap_tables;
      for (const auto& statement : kept_.carried) all += statement + ";\n";
      for (const auto& step : plan_.schema)
        all += "INSERT INTO maestro_migrations (component, number) VALUES (" + quoted_text(step.component) + ", " + std::to_string(step.number) +
               ") ON CONFLICT DO NOTHING;\n";
      (void)session_.script(all);
    } catch (const failure& problem) {
      if (!problem.sqlstate().starts_with("2BP01")) throw;
      throw rebuild_stopped{{errc::invalid_argument, "projection \"" + plan_.projection + "\": its tables cannot be replaced: " + problem.what()}};
    }
  });
}

void rebuild_base::in_transaction(const std::function<void(commit_transaction&)>& work) {
  rows_.clear();
  commit_transaction transaction(session_.with());
  enter_none(transaction);
  transaction.execute("SELECT set_config('statement_timeout', $1, true)", std::to_string(statement_timeout_.count()));
  try {
    work(transaction);
    transaction.commit();
  } catch (const failure& problem) {
    const auto culprit = transaction.culprit();
    const bool away = error_of(problem, stage::projection).code == errc::store_unavailable;
    if (!away && culprit && *culprit < rows_.size()) throw rebuild_stopped{failed_at(rows_[*culprit], explained(problem))};
    throw;
  }
}

void rebuild_base::patiently(const std::function<void()>& work) {
  for (int attempt = 0;; ++attempt) {
    try {
      return work();
    } catch (const failure& problem) {
      pause_after(problem, attempt);
    }
  }
}

void rebuild_base::pause_after(const failure& problem, int attempt) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  const bool passing = outcome_of(problem, stage::projection).status == write_status::contention;
  if (!passing || attempt == max_lock_attempts) throw failure(problem);
  progress_.paused = false;
  tell();
  std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(10, 200)(random)));
}

auto rebuild_base::failed_at(const row_name& row, std::string_view why) const -> error {
  return rebuild_event_failed(plan_, row.id, row.sequence, row.type, why);
}

auto rebuild_base::failed_at(const event& row, const failure& problem) const -> error {
  return rebuild_event_failed(plan_, row.aggregate_id, row.sequence, row.type, explained(problem));
}

}  // namespace maestro::postgres
