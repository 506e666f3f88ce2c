#include <maestro/store/postgres/rebuild.hpp>

#include <maestro/store/postgres/commit_transaction.hpp>
#include <maestro/store/postgres/rebuild_sql.hpp>
#include <maestro/store/postgres/values.hpp>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace maestro::postgres {

namespace {

// So many events go into one transaction, about.
constexpr std::size_t events_per_transaction = 1000;
// With no more events than these to go, commands are made to wait.
constexpr std::uint64_t few_events = 500;
// Where more keep arriving than are projected, it is now or never.
constexpr int max_rounds = 50;

// An aggregate with events that are not projected yet.
struct stale_aggregate {
  aggregate_id id;
  std::string type;
  sequence_number mark = 0;
  sequence_number head = 0;
};

auto bytes_of(const sql_value& value) -> std::string { return value.as<sql_bytes>().bytes; }

// `what` names the statement or the table.
auto first_row(const std::vector<sql_row>& rows, const std::string& what) -> const sql_row& {
  if (rows.empty()) throw std::runtime_error(what + " has no row, where one always is");
  return rows.front();
}

auto quoted_text(std::string_view text) -> std::string {
  std::string quoted = "'";
  for (const char letter : text) quoted.append(letter == '\'' ? 2 : 1, letter);
  return quoted + "'";
}

// A row of rebuild_sql::read_log.
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

// One call of `rebuild`.
class rebuilder {
 public:
  rebuilder(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
      : plan_(plan), watch_(watch), connection_(from->uri, from->settings, *from->lines), reader_(from) {
    for (const auto& each : plan.sources) {
      projectors_.emplace(each.aggregate_type, each.projector);
      types_ += (types_.empty() ? "ARRAY[" : ",") + quoted_text(each.aggregate_type);
    }
    types_ += "]::text[]";
    for (const auto& step : plan.schema) schema_ += step.postgres + ";\n";
  }

  auto run() -> rebuild_progress {
    name_things();
    claim();
    if (plan_.mode == rebuild_mode::abandon) {
      drop_shadow();
    } else if (plan_.ordered_between_aggregates) {
      drop_shadow();
      rebuild_in_one_go();
    } else {
      if (plan_.mode == rebuild_mode::restart) drop_shadow();
      begin();
      catch_up();
      finish();
    }
    return progress_;
  }

 private:
  // --- the shadow: the schema of the new tables ---

  void name_things() {
    const auto found = query(rebuild_sql::home);
    const auto& home = first_row(found, "the look for the store's schema");
    if (home.at(0).is_null() || !home.at(1).as<bool>())
      throw rebuild_stopped{{errc::store_unavailable, "the store's tables are missing; run the node's program with --migrate"}};
    home_ = home.at(0).as<std::string>();
    std::string letters;
    for (const char letter : plan_.projection)
      if (letters.size() < 24 && ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '_'))
        letters += letter;
    const auto print = sha256_16(home_ + '\0' + plan_.projection);
    shadow_ = "maestro_rebuild_" + letters + "_" + hex({reinterpret_cast<const char*>(print.data()), 8});
    set_mark_ = filled(rebuild_sql::set_mark);
    (void)query(rebuild_sql::use_shadow);
    (void)query("SELECT set_config('statement_timeout', '0', false)");
  }

  // One rebuild of a projection at a time. The lock is the session's: it goes with the process.
  void claim() {
    if (!first_row(query(rebuild_sql::take_lock), "the lock of a rebuild").at(0).as<bool>())
      throw rebuild_stopped{{errc::store_in_use, "projection \"" + plan_.projection + "\" is being rebuilt already"}};
  }

  void drop_shadow() {
    patiently([this] { script(rebuild_sql::drop_shadow); });
  }

  // Makes the shadow, or finds the one of an earlier attempt.
  void begin() {
    if (!first_row(query(rebuild_sql::find_state), "the look for an earlier rebuild").at(0).as<bool>()) patiently([this] { make_shadow(); });
    const auto rows = query("SELECT schema, listed FROM {shadow}.maestro_rebuild_state");
    if (rows.empty())
      throw rebuild_stopped{{errc::internal_error, "maestro_rebuild_state of projection \"" + plan_.projection +
                                                       "\" has lost its row; restart the rebuild from the beginning"}};
    const auto& state = rows.front();
    if (state.at(0).as<std::string>() != schema_)
      throw rebuild_stopped{{errc::invalid_argument, "an earlier rebuild of projection \"" + plan_.projection +
                                                 "\" was begun with other tables; restart it from the beginning"}};
    if (!state.at(1).as<bool>()) script(rebuild_sql::list_aggregates);
    count();
    progress_.resumed = progress_.done;
    tell();
  }

  void make_shadow() {
    transaction_scope transaction(*this);
    script(rebuild_sql::create_shadow);
    make_tables();
    script(rebuild_sql::put_constraints_off);
    script(rebuild_sql::follow_log);
    (void)query("INSERT INTO {shadow}.maestro_rebuild_state (schema) VALUES ($1)", {schema_});
    transaction.commit();
  }

  void make_tables() {
    for (const auto& step : plan_.schema) {
      try {
        connection_.execute_script(step.postgres);
      } catch (const failure& problem) {
        if (problem.connection_lost()) throw;
        throw rebuild_stopped{rebuild_step_failed(step, problem.what())};
      }
    }
  }

  // --- aggregate by aggregate ---

  void catch_up() {
    for (int round = 0; round < max_rounds; ++round) {
      (void)query(rebuild_sql::read_news);
      count();
      if (progress_.total - progress_.done <= few_events) return;
      for (auto some = next_aggregates({}); !some.empty(); some = next_aggregates(some.back().id)) project_each(some);
    }
  }

  auto next_aggregates(const aggregate_id& after) -> std::vector<stale_aggregate> {
    return stale_from(query(rebuild_sql::next_aggregates, {after}));
  }

  static auto stale_from(const std::vector<sql_row>& rows) -> std::vector<stale_aggregate> {
    std::vector<stale_aggregate> found;
    for (const auto& row : rows)
      found.push_back({aggregate_id::from_bytes(bytes_of(row.at(0))).value(), row.at(1).as<std::string>(),
                       static_cast<sequence_number>(row.at(2).as<std::int64_t>()),
                       static_cast<sequence_number>(row.at(3).as<std::int64_t>())});
    return found;
  }

  // Each aggregate's rows go together with its mark. Small ones share a transaction, a large one takes several.
  void project_each(std::vector<stale_aggregate>& some) {
    for (auto next = some.begin(); next != some.end();) {
      std::size_t events = 0;
      in_transaction([&](commit_transaction& transaction) {
        while (next != some.end() && events < events_per_transaction) {
          events += project_page(transaction, *next);
          if (next->mark == next->head) ++next;
        }
      });
      progress_.done += events;
      tell();
    }
  }

  // The next events of `stale`. Returns how many.
  auto project_page(commit_transaction& transaction, stale_aggregate& stale) -> std::size_t {
    auto page = reader_.get_events(stale.id, {stale.mark, stale.head, events_per_transaction});
    if (!page) throw rebuild_stopped{page.failure()};
    if (page->empty())
      throw rebuild_stopped{{errc::cannot_hydrate, "aggregate " + stale.id.text() + " has no event after sequence " +
                                               std::to_string(stale.mark) + ", its newest was " + std::to_string(stale.head)}};
    for (const event& row : *page) project(transaction, row, stale.type);
    stale.mark = page->back().sequence;
    transaction.execute(set_mark_, stale.id, stale.mark);
    return page->size();
  }

  void project(commit_transaction& transaction, const event& row, const std::string& type) {
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

  // The last events, while commands wait; then the tables change places.
  void finish() {
    patiently([this] {
      progress_.paused = false;
      std::size_t events = 0;
      in_transaction([&](commit_transaction& transaction) {
        transaction.with_native([this](const native_handle&) { script(rebuild_sql::pause_writers); });
        progress_.paused = true;
        tell();
        (void)transaction.query(filled(rebuild_sql::read_news));
        events = project_rest(transaction);
        transaction.enter(no_row);
        transaction.with_native([this](const native_handle&) {
          restore_constraints();
          take_places();
        });
      });
      progress_.done += events;
    });
    progress_.total = progress_.done;
    tell();
  }

  auto project_rest(commit_transaction& transaction) -> std::size_t {
    std::size_t events = 0;
    while (true) {
      auto some = stale_from(transaction.query(filled(rebuild_sql::next_aggregates), aggregate_id{}));
      if (some.empty()) return events;
      for (auto& stale : some)
        while (stale.mark < stale.head) events += project_page(transaction, stale);
    }
  }

  void restore_constraints() {
    try {
      script(rebuild_sql::restore_constraints);
    } catch (const failure& problem) {
      if (!problem.sqlstate().starts_with("23")) throw;
      throw rebuild_stopped{{errc::projection_failed, "projection \"" + plan_.projection + "\": its rows violate constraint \"" +
                                                  problem.constraint() + "\": " + problem.what()}};
    }
  }

  void take_places() {
    try {
      script(rebuild_sql::swap_tables);
      for (const auto& step : plan_.schema)
        (void)query(rebuild_sql::record_step, {step.component, step.number});
    } catch (const failure& problem) {
      if (!problem.sqlstate().starts_with("2BP01")) throw;
      throw rebuild_stopped{{errc::invalid_argument, "projection \"" + plan_.projection + "\": its tables cannot be replaced: " + problem.what()}};
    }
  }

  // --- in the order of time ---

  void rebuild_in_one_go() {
    patiently([this] {
      progress_ = {};
      in_transaction([this](commit_transaction& transaction) {
        transaction.with_native([this](const native_handle&) {
          script(rebuild_sql::pause_writers);
          script(rebuild_sql::create_shadow);
          make_tables();
        });
        progress_.paused = true;
        progress_.total = static_cast<std::uint64_t>(first_row(query_aside(rebuild_sql::count_log), "the count of event_log").at(0).as<std::int64_t>());
        tell();
        project_log(transaction);
        transaction.enter(no_row);
        transaction.with_native([this](const native_handle&) { take_places(); });
      });
    });
    tell();
  }

  void project_log(commit_transaction& transaction) {
    timestamp last;
    while (true) {
      const auto page = query_aside(rebuild_sql::read_log, {last});
      if (page.empty()) return;
      for (const auto& row : page) project(transaction, event_of(row), row.at(8).as<std::string>());
      last = timestamp::from_bytes(bytes_of(page.back().at(0))).value();
      transaction.settle();
      rows_.clear();
      progress_.done += page.size();
      tell();
    }
  }

  // --- what all of it is made of ---

  // Commits what `work` does, and names the event at which it fails.
  template <class Work>
  void in_transaction(Work work) {
    rows_.clear();
    commit_transaction transaction(connection_);
    transaction.enter(no_row);
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

  // Runs `work`, which leaves nothing behind when it throws, again while others hold what it needs.
  template <class Work>
  void patiently(Work work) {
    static thread_local std::minstd_rand random{std::random_device{}()};
    for (int attempt = 0;; ++attempt) {
      try {
        return work();
      } catch (const failure& problem) {
        const bool passing = outcome_of(problem, stage::projection).status == write_status::contention;
        if (!passing || attempt == max_lock_attempts) throw;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(10, 200)(random)));
    }
  }

  // A transaction outside the pipeline.
  class transaction_scope {
   public:
    explicit transaction_scope(rebuilder& in) : in_(in) { in_.connection_.execute_script("BEGIN"); }
    transaction_scope(const transaction_scope&) = delete;
    auto operator=(const transaction_scope&) -> transaction_scope& = delete;
    ~transaction_scope() {
      if (!committed_) PQclear(PQexec(in_.connection_.raw(), "ROLLBACK"));
    }
    void commit() {
      in_.connection_.commit_script();
      committed_ = true;
    }

   private:
    rebuilder& in_;
    bool committed_ = false;
  };

  [[nodiscard]] auto filled(std::string text) const -> std::string {
    const std::pair<std::string_view, std::string> values[] = {
        {"{shadow}", shadow_}, {"{home}", home_}, {"{trigger}", shadow_}, {"{types}", types_}};
    for (const auto& [place, value] : values)
      for (auto at = text.find(place); at != text.npos; at = text.find(place, at + value.size()))
        text.replace(at, place.size(), value);
    return text;
  }

  void script(const char* text) { connection_.execute_script(filled(text)); }

  auto query(const char* text, const std::vector<sql_value>& parameters = {}) -> std::vector<sql_row> {
    return connection_.query(filled(text), parameters);
  }

  // On the connection that reads, which sees what is committed.
  auto query_aside(const char* text, const std::vector<sql_value>& parameters = {}) -> std::vector<sql_row> {
    auto rows = reader_.query(filled(text), parameters);
    if (!rows) throw rebuild_stopped{rows.failure()};
    return std::move(*rows);
  }

  void count() {
    const auto rows = query(rebuild_sql::count);
    const auto& sums = first_row(rows, "the count of a rebuild's marks");
    progress_.done = static_cast<std::uint64_t>(sums.at(0).as<std::int64_t>());
    progress_.total = static_cast<std::uint64_t>(sums.at(1).as<std::int64_t>());
  }

  void tell() const { tell_rebuild(plan_, watch_, progress_); }

  // An event on its way into the new tables.
  struct row_name {
    aggregate_id id;
    sequence_number sequence;
    std::string type;
  };
  static constexpr std::size_t no_row = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] auto failed_at(const row_name& row, std::string_view why) const -> error {
    return rebuild_event_failed(plan_, row.id, row.sequence, row.type, why);
  }

  static auto explained(const failure& problem) -> std::string {
    std::string why = problem.what();
    if (!problem.constraint().empty()) why += " (constraint \"" + problem.constraint() + "\")";
    if (problem.sqlstate() == "23505" || problem.sqlstate() == "42P10")
      why += "; where rows depend on the order between aggregates, the projection says ordered_between_aggregates";
    return why;
  }

  static constexpr int max_lock_attempts = 300;

  const rebuild_plan& plan_;
  const rebuild_watch& watch_;
  connection connection_;
  postgres_store reader_;
  std::map<std::string, std::shared_ptr<const projector>> projectors_;
  std::string schema_;  // What makes the tables, to tell whether an earlier attempt made the same.
  std::string types_;   // As an array in SQL.
  std::string home_;    // Quoted.
  std::string shadow_;
  std::string set_mark_;  // Executed with each page of events.
  std::vector<row_name> rows_;  // Of the transaction under way.
  rebuild_progress progress_;
};

}  // namespace

auto rebuild(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch)
    -> result<rebuild_progress> {
  try {
    return rebuilder(from, plan, watch).run();
  } catch (const rebuild_stopped& reason) {
    return reason.why;
  } catch (const failure& problem) {
    error said = error_of(problem, stage::migration);
    said.message = "rebuild of projection \"" + plan.projection + "\": " + said.message;
    return said;
  } catch (const std::exception& problem) {
    return error{errc::internal_error, "rebuild of projection \"" + plan.projection + "\": " + problem.what()};
  }
}

}  // namespace maestro::postgres
