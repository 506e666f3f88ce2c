// A rebuild aggregate by aggregate, each in sequence order.
//
// 1. All that is there is projected, without the constraints that hold between aggregates, in rounds that get smaller. After each round
//    the new tables show the log as it was at one moment, that of `read_news`.
// 2. The constraints are built on that. A moment of the log satisfies them wherever the live projection has kept to them.
// 3. What came meanwhile is projected in the order in which it was appended: a key is given up before another
//    aggregate takes it. The events line up for that, once a round. Of two appends at the same time either may come
//    first: one that meets a key which is not given up yet waits for the others. Should none be able to go on, all of
//    it begins again at 1 with what is there. Without a constraint that rows of two aggregates could violate, 1 goes
//    on instead.
// 4. The log is locked; its last events follow in the same way; the tables change places.
#include <maestro/store/page_sizer.hpp>
#include <maestro/store/postgres/rebuild_base.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <unordered_map>

namespace maestro::postgres {

namespace {

// So often the constraints are built, where events that come meanwhile are at odds with them.
constexpr int max_attempts = 3;

// An aggregate with events that are not projected yet.
struct stale_aggregate {
  aggregate_id id;
  std::string type;
  sequence_number mark = 0;
  sequence_number head = 0;
  page_sizer pages{events_per_transaction};
};

// No event that waits can be projected under the constraints.
struct stalled {
  error why;
};
// More is left than is to be done while commands wait.
struct too_much_left {};

class by_aggregate final : public rebuild_base {
 public:
  using rebuild_base::rebuild_base;

 private:
  void fill() override {
    set_mark_ = session().filled(rebuild_sql::set_mark);
    begin();
    for (int attempt = 1;; ++attempt) {
      catch_up();
      if (!build_constraints(attempt)) continue;
      try {
        take_over();
        break;
      } catch (const stalled& reason) {
        if (attempt == max_attempts) throw rebuild_stopped{reason.why};
        go_on_without_pause();
        take_constraints_off();
      }
    }
    progress().total = progress().done;
    tell();
  }

  // Commands do not wait any more.
  void go_on_without_pause() {
    progress().paused = false;
    tell();
  }

  void follow_log() override {
    (void)session().script(rebuild_sql::make_constraint_list);
    (void)session().script(rebuild_sql::put_constraints_off);
    (void)session().script(rebuild_sql::take_constraints_off);
    (void)session().script(rebuild_sql::follow_log);
    (void)session().query("INSERT INTO {shadow}.maestro_rebuild_state (schema) VALUES ($1)", {made_by()});
  }

  // Makes the shadow, or finds the one of an earlier attempt.
  void begin() {
    if (!first_row(session().query(rebuild_sql::find_state), "the look for an earlier rebuild").at(0).as<bool>()) make_shadow();
    const auto rows = session().query("SELECT schema, listed FROM {shadow}.maestro_rebuild_state");
    if (rows.empty())
      throw rebuild_stopped{{errc::internal_error, "maestro_rebuild_state of projection \"" + plan().projection +
                                                       "\" has lost its row; restart the rebuild from the beginning"}};
    const auto& state = rows.front();
    if (state.at(0).as<std::string>() != made_by())
      throw rebuild_stopped{{errc::invalid_argument, "an earlier rebuild of projection \"" + plan().projection +
                                                 "\" was begun with other tables, or by an earlier build; restart it from the beginning"}};
    refuse_losses();
    take_constraints_off();
    if (!state.at(1).as<bool>()) (void)session().script(rebuild_sql::list_aggregates);
    count();
    progress().resumed = progress().done;
    tell();
  }

  void count() {
    const auto rows = session().query(rebuild_sql::count);
    const auto& sums = first_row(rows, "the count of a rebuild's marks");
    progress().done = static_cast<std::uint64_t>(sums.at(0).as<std::int64_t>());
    progress().total = static_cast<std::uint64_t>(sums.at(1).as<std::int64_t>());
  }

  // --- 1: without constraints ---

  void catch_up() {
    for (int round = 0; round < max_rounds; ++round)
      if (project_news() <= few_events) return;
  }

  // Returns how many events.
  auto project_news() -> std::uint64_t {
    (void)session().script(rebuild_sql::forget_turns);
    (void)session().query(rebuild_sql::read_news);
    count();
    const auto before = progress().done;
    for (auto some = next_aggregates({}); !some.empty(); some = next_aggregates(some.back().id)) project_each(some);
    return progress().done - before;
  }

  auto next_aggregates(const aggregate_id& after) -> std::vector<stale_aggregate> {
    return stale_from(session().query(rebuild_sql::next_aggregates, {after}));
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
      progress().done += events;
      tell();
    }
  }

  // The next events of `stale`. Returns how many.
  auto project_page(commit_transaction& transaction, stale_aggregate& stale) -> std::size_t {
    auto page = reader().get_events(stale.id, {stale.mark, stale.head, stale.pages.next()});
    if (!page) throw rebuild_stopped{page.failure()};
    if (page->empty())
      throw rebuild_stopped{{errc::cannot_hydrate, "aggregate " + stale.id.text() + " has no event after sequence " +
                                               std::to_string(stale.mark) + ", its newest was " + std::to_string(stale.head)}};
    stale.pages.saw(*page);
    for (const event& row : *page) project(transaction, row, stale.type);
    stale.mark = page->back().sequence;
    transaction.execute(set_mark_, stale.id, stale.mark);
    return page->size();
  }

  // --- 2: the constraints ---

  // False when the rows violate one, and there is something new to try with.
  auto build_constraints(int attempt) -> bool {
    list_own_indexes(session());
    while (true) {
      const auto next = session().query(rebuild_sql::next_constraint);
      if (next.empty()) break;
      try {
        patiently([&] { (void)session().script(next[0].at(1).as<std::string>()); });
      } catch (const failure& problem) {
        if (!problem.sqlstate().starts_with("23")) throw;
        const rebuild_stopped violated{{errc::projection_failed, "projection \"" + plan().projection + "\": its rows violate constraint \"" +
                                                                     problem.constraint() + "\": " + problem.what()}};
        take_constraints_off();
        if (attempt == max_attempts || project_news() == 0) throw violated;
        return false;
      }
      (void)session().query(rebuild_sql::constraint_is_back, {next[0].at(0)});
    }
    constrained_ = first_row(session().query(rebuild_sql::has_constraints), "the look for constraints").at(0).as<bool>();
    return true;
  }

  void take_constraints_off() {
    patiently([this] { (void)session().script(rebuild_sql::take_constraints_off); });
  }

  // --- 3: with them ---

  // A place in the line of events that wait, as the parameters of next_events.
  struct place {
    sql_value turn = -1;
    sql_value timestamp = sql_bytes{};
    sql_value aggregate_id = sql_bytes{};
    sql_value sequence = 0;
  };
  // What became of a page of the line.
  struct turn {
    std::size_t events = 0;
    std::size_t first_left = 0;  // So many rows from its beginning are done.
  };
  using line_page = std::vector<sql_row>;

  void follow() {
    if (!constrained_) return catch_up();
    for (int round = 0; round < max_rounds; ++round) {
      (void)session().query(rebuild_sql::read_news);
      count();
      (void)session().script(rebuild_sql::line_up);
      // A page is read outside of the transaction: that may take its time.
      const auto read = [this](const place& after) {
        return session().query(rebuild_sql::next_events, {after.turn, after.timestamp, after.aggregate_id, after.sequence,
                                                          static_cast<std::int64_t>(few_events)});
      };
      const auto events = work_off(read, [this](const line_page& rows) {
        turn done;
        in_transaction([&](commit_transaction& transaction) { done = project_in_turn(transaction, rows); });
        progress().done += done.events;
        tell();
        return done;
      });
      if (events <= few_events) return;
    }
  }

  // Projects all that stands in the line. Returns how many events. Throws `stalled`.
  static auto place_of(const sql_row& row) -> place { return {row.at(10), row.at(0), row.at(1), row.at(2)}; }
  auto work_off(const std::function<line_page(const place&)>& read, const std::function<turn(const line_page&)>& project_page_of_line) -> std::uint64_t {
    std::uint64_t events = 0;
    place front;  // What is not later is projected.
    bool is_at_front = true;
    obstacle_.reset();
    for (auto rows = read(front); !rows.empty();) {
      const auto done = project_page_of_line(rows);
      events += done.events;
      if (done.events > 0) {  // What waits further in front may be able to go on now.
        if (is_at_front && done.first_left > 0) front = place_of(rows[done.first_left - 1]);
        is_at_front = true;
        rows = read(front);
      } else {  // A later one may have to go before them.
        is_at_front = false;
        rows = read(place_of(rows.back()));
        if (rows.empty()) throw stalled{*obstacle_};
      }
    }
    return events;
  }

  auto project_in_turn(commit_transaction& transaction, const line_page& rows) -> turn {
    transaction.begin_part();
    try {
      const auto all = project_rows(transaction, rows, false);
      if (all.events > 0) return all;
    } catch (const failure& problem) {
      if (!is_taken(problem)) throw;
      transaction.drop_part();
    }
    forget_rows();
    return project_rows(transaction, rows, true);
  }

  // `apart`: each by itself, and without those that meet a key which another row has.
  auto project_rows(commit_transaction& transaction, const line_page& rows, bool apart) -> turn {
    std::unordered_map<aggregate_id, sequence_number> marks;
    std::set<aggregate_id> waiting;
    turn done{0, rows.size()};
    for (std::size_t number = 0; number < rows.size(); ++number) {
      const auto& row = rows[number];
      const event next = event_of(row);
      const auto mark = marks.try_emplace(next.aggregate_id, static_cast<sequence_number>(row.at(9).as<std::int64_t>())).first;
      const auto leave = [&] { done.first_left = std::min(done.first_left, number); };
      if (next.sequence != mark->second + 1 || waiting.contains(next.aggregate_id)) {
        leave();
        continue;
      }
      if (apart) transaction.begin_part();
      try {
        project(transaction, next, row.at(8).as<std::string>());
        transaction.execute(set_mark_, next.aggregate_id, next.sequence);
        if (apart) transaction.settle();
      } catch (const failure& problem) {
        if (!apart || !is_taken(problem)) throw;
        transaction.drop_part();
        obstacle_ = failed_at(next, problem);
        waiting.insert(next.aggregate_id);
        leave();
        continue;
      }
      ++mark->second;
      ++done.events;
    }
    transaction.settle();
    enter_none(transaction);
    if (done.events == 0 && !obstacle_) obstacle_ = error{errc::cannot_hydrate, "an aggregate of projection \"" + plan().projection + "\" has a gap in its events"};
    return done;
  }

  // --- 4: the last events, while commands wait ---

  void take_over() {
    for (int attempt = 0;; ++attempt) {
      follow();
      try {
        return last_step(attempt);
      } catch (const too_much_left&) {
        go_on_without_pause();
      } catch (const failure& problem) {
        pause_after(problem, attempt);
      }
    }
  }

  void last_step(int attempt) {
    std::size_t events = 0;
    in_transaction([&](commit_transaction& transaction) {
      prepare_exchange(transaction);
      transaction.with_native([this](const native_handle&) { (void)session().script(rebuild_sql::pause_writers); });
      progress().paused = true;
      tell();
      (void)transaction.query(session().filled(rebuild_sql::read_news));
      const auto left = transaction.query(session().filled(rebuild_sql::count_rest)).at(0).at(0).as<std::int64_t>();
      if (static_cast<std::uint64_t>(left) > most_events_at_last && attempt < max_rounds) throw too_much_left{};
      events = project_rest(transaction);
      take_places(transaction);
    });
    progress().done += events;
  }

  auto project_rest(commit_transaction& transaction) -> std::size_t {
    std::size_t events = 0;
    if (constrained_) {
      transaction.with_native([this](const native_handle&) { (void)session().script(rebuild_sql::line_up); });
      const auto next_events = session().filled(rebuild_sql::next_events);
      const auto read = [&](const place& after) {
        return transaction.query(next_events, after.turn, after.timestamp, after.aggregate_id, after.sequence,
                                 static_cast<std::int64_t>(few_events));
      };
      return work_off(read, [&](const line_page& rows) { return project_in_turn(transaction, rows); });
    }
    while (true) {
      auto some = stale_from(transaction.query(session().filled(rebuild_sql::next_aggregates), aggregate_id{}));
      if (some.empty()) return events;
      for (auto& stale : some)
        while (stale.mark < stale.head) events += project_page(transaction, stale);
    }
  }

  std::string set_mark_;  // Executed with each page of events.
  bool constrained_ = false;
  std::optional<error> obstacle_;  // The newest event that met a key of another row.
};

}  // namespace

auto rebuild_by_aggregate(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch) -> rebuild_progress {
  return by_aggregate(from, plan, watch).run();
}

}  // namespace maestro::postgres
