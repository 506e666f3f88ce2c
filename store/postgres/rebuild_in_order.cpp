// A rebuild in the order of timestamps, over all aggregates.
//
// The log is walked up to some seconds ago, while commands go on: what is committed later has, by a clock that is right, a later
// timestamp. Then the log is locked, its last seconds follow, and the tables change places; where too many events are in them, not yet. An event that is committed behind the place
// that the walk has come to (its node's clock is behind, its transaction was long) is noted by a trigger: the walk begins anew, and stays
// further behind.
#include <maestro/store/page_sizer.hpp>
#include <maestro/store/postgres/rebuild_base.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace maestro::postgres {

namespace {

constexpr int max_attempts = 5;
constexpr std::uint64_t first_distance = 2'000;  // Milliseconds.
// Between two tries to do the last step, where too much is left for it.
constexpr std::chrono::milliseconds shortest_wait{100};
constexpr std::chrono::milliseconds longest_wait{5'000};

const timestamp end_of_time = timestamp::make((std::uint64_t{1} << 48) - 1, 0xFFFF, ~std::uint64_t{0});

// An event was committed behind the place that the walk has come to.
struct overtaken {};
// More is later than the walk's place than is to be done while commands wait.
struct too_much_left {};

class in_order final : public rebuild_base {
 public:
  using rebuild_base::rebuild_base;

 private:
  // One that was stopped cannot be taken up again: nothing of it stays, least of all its trigger.
  void fill() override {
    try {
      fill_anew();
    } catch (...) {
      try {
        if (session().with().is_usable()) drop_shadow();
      } catch (const std::exception&) {  // The next one does it.
      } catch (const rebuild_stopped&) {
      }
      throw;
    }
  }

  void fill_anew() {
    for (int attempt = 0; attempt < max_attempts; ++attempt) {
      try {
        begin();
        walk();
        build_indexes();
        take_over();
        progress().total = progress().done;
        return tell();
      } catch (const overtaken&) {
        continue;
      }
    }
    throw rebuild_stopped{{errc::store_unavailable, "projection \"" + plan().projection + "\": events keep arriving whose timestamps are " +
                                                        std::to_string(distance_ / 1000) + " s and more behind the database's clock, and its rows "
                                                        "depend on their order; nothing was changed. See that the clocks of all writers are right"}};
  }

  void follow_log() override {
    (void)session().script(rebuild_sql::make_constraint_list);
    (void)session().script(rebuild_sql::follow_order);
  }

  // Those that were made by hand. The others were there from the beginning.
  void build_indexes() {
    list_own_indexes(session());
    while (true) {
      const auto next = session().query(rebuild_sql::next_constraint);
      if (next.empty()) return;
      patiently([&] { (void)session().script(next[0].at(1).as<std::string>()); });
      (void)session().query(rebuild_sql::constraint_is_back, {next[0].at(0)});
    }
  }

  // What an earlier attempt has left behind is of no use.
  void begin() {
    progress() = {};
    place_ = {};
    newest_page_.clear();
    drop_shadow();
    make_shadow();
    refuse_losses();
    tell();
    progress().total = static_cast<std::uint64_t>(first_row(session().script(rebuild_sql::count_log), "the count of event_log").at(0).as<std::int64_t>());
    tell();
  }

  auto now() -> std::uint64_t {
    return static_cast<std::uint64_t>(first_row(session().query(rebuild_sql::milliseconds), "the database's clock").at(0).as<std::int64_t>());
  }

  // Until few events are left before the horizon.
  void walk() {
    for (int round = 0; round < max_rounds; ++round) {
      const auto time = now();
      const auto horizon = timestamp::make(time - std::min(time, distance_), 0xFFFF, ~std::uint64_t{0});
      if (horizon < place_) return;
      std::uint64_t events = 0;
      while (true) {
        look_for_late_ones(session().query(rebuild_sql::read_late_news, {place_}), time);
        const auto limit = pages_.next();
        const auto page = session().query(rebuild_sql::read_log, {place_, horizon, static_cast<std::int64_t>(limit)});
        if (!page.empty()) pages_.saw(page.size(), body_bytes(page));
        in_transaction([&](commit_transaction& transaction) { project_page(transaction, page); });
        remember(page);
        events += page.size();
        add(page.size());
        tell();
        if (page.size() == limit) continue;
        place_ = horizon;
        break;
      }
      if (events <= few_events) return;
    }
  }

  // Those of the newest page may have been committed after the look before it.
  void look_for_late_ones(const std::vector<sql_row>& rows, std::uint64_t time) {
    for (const auto& row : rows) {
      const auto late = timestamp::from_bytes(bytes_of(row.at(0))).value();
      const bool is_behind = row.at(2).as<bool>();
      if (is_behind && newest_page_.contains({late, bytes_of(row.at(1))})) continue;
      const auto by = is_behind && late.milliseconds() < time ? time - late.milliseconds() : 0;
      distance_ = std::max(2 * distance_, by + by / 2);
      throw overtaken{};
    }
  }

  void remember(const std::vector<sql_row>& page) {
    newest_page_.clear();
    for (const auto& row : page) newest_page_.emplace(timestamp::from_bytes(bytes_of(row.at(0))).value(), bytes_of(row.at(1)));
    if (!page.empty()) place_ = timestamp::from_bytes(bytes_of(page.back().at(0))).value();
  }

  void project_page(commit_transaction& transaction, const std::vector<sql_row>& page) {
    for (const auto& row : page) project(transaction, event_of(row), row.at(8).as<std::string>());
    transaction.settle();
    forget_rows();
  }

  void add(std::size_t events) {
    progress().done += events;
    progress().total = std::max(progress().total, progress().done);
  }

  void take_over() {
    int too_often = 0;
    for (int attempt = 0;;) {
      walk();
      try {
        return last_step();
      } catch (const too_much_left&) {
        progress().paused = false;
        if (++too_often == max_rounds) throw too_near();
        wait_a_part_of_the_distance();
      } catch (const failure& problem) {
        pause_after(problem, attempt++);
      }
    }
  }

  // All tries together last as long as an event stays out of the walk's reach, at least.
  void wait_a_part_of_the_distance() {
    const auto part = std::clamp(std::chrono::milliseconds(distance_ / max_rounds), shortest_wait, longest_wait);
    for (const auto end = std::chrono::steady_clock::now() + part; std::chrono::steady_clock::now() < end; tell())
      std::this_thread::sleep_for(std::min(part, std::chrono::milliseconds(100)));
  }

  [[nodiscard]] auto too_near() const -> rebuild_stopped {
    return {{errc::store_unavailable, "projection \"" + plan().projection + "\": more than " + std::to_string(most_events_at_last) +
                                          " events are always newer than " + std::to_string(distance_ / 1000) + " s before the database's clock; its rows "
                                          "depend on their order, and commands would have to wait for all of them; nothing was changed. See that the "
                                          "clocks of all writers are right, and rebuild while fewer commands arrive"}};
  }

  void refuse_too_much(const std::vector<sql_row>& counted) {
    if (static_cast<std::uint64_t>(first_row(counted, "the count of the newest events").at(0).as<std::int64_t>()) > most_events_at_last) throw too_much_left{};
  }

  void last_step() {
    const auto time = now();
    constexpr auto enough = static_cast<std::int64_t>(most_events_at_last + 1);
    refuse_too_much(session().query(rebuild_sql::count_later, {place_, enough}));  // Commands need not wait to know that.
    std::size_t events = 0;
    in_transaction([&](commit_transaction& transaction) {
      prepare_exchange(transaction);
      transaction.with_native([this](const native_handle&) { (void)session().script(rebuild_sql::pause_writers); });
      progress().paused = true;
      tell();
      look_for_late_ones(transaction.query(session().filled(rebuild_sql::read_late_news), place_), time);
      refuse_too_much(transaction.query(session().filled(rebuild_sql::count_later), place_, enough));
      const auto read_log = session().filled(rebuild_sql::read_log);
      auto last = place_;
      while (true) {
        const auto limit = pages_.next();
        const auto page = transaction.query(read_log, last, end_of_time, static_cast<std::int64_t>(limit));
        if (!page.empty()) pages_.saw(page.size(), body_bytes(page));
        project_page(transaction, page);
        events += page.size();
        tell();
        if (page.size() < limit) break;
        last = timestamp::from_bytes(bytes_of(page.back().at(0))).value();
      }
      take_places(transaction);
    });
    add(events);
  }

  std::uint64_t distance_ = first_distance;  // How far the walk stays behind the database's clock.
  page_sizer pages_{events_per_transaction};
  timestamp place_;                          // All that is not later is projected.
  std::set<std::pair<timestamp, std::string>> newest_page_;
};

}  // namespace

auto rebuild_in_order(const std::shared_ptr<const source>& from, const rebuild_plan& plan, const rebuild_watch& watch) -> rebuild_progress {
  return in_order(from, plan, watch).run();
}

}  // namespace maestro::postgres
