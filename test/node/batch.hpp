// An aggregate for the tests of real nodes: commands with many events, slow ones, and a look at what a node keeps in memory.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace test {

/// Adds `items` items, one event each; none for 0.
struct add {
  std::int64_t items = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(items));
  }
};

/// `add` of one item by a domain that takes its time.
struct add_slowly {
  std::int64_t milliseconds = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(milliseconds));
  }
};

/// The item with `number` 1, 2, 3 ... within the batch.
struct added {
  std::int64_t number = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(number));
  }
};

/// Counts the objects of this kind in the process.
struct counted {
  counted() { ++alive; }
  counted(const counted&) { ++alive; }
  ~counted() { --alive; }
  auto operator=(const counted&) -> counted& = default;
  static inline std::atomic<std::int64_t> alive{0};
};

struct batch_state {
  std::int64_t items = 0;
  counted in_memory;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(items));
  }
};

/// Asks how many states of batches the node has in memory.
struct count_states {};
struct states_counted {
  std::int64_t states = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(states));
  }
};

/// Each batch's items, counted and summed one by one.
struct batch_totals {
  static auto schema() -> std::vector<maestro::schema_step> {
    return {maestro::per_store{.sqlite = "create table batch_totals (batch blob primary key, items integer not null, total integer not null) strict",
                               .postgres = "create table batch_totals (batch bytea primary key, items bigint not null, total bigint not null)"}};
  }
  static void project(maestro::transaction& tx, const added& event, const maestro::event& row) {
    tx.execute(
        "insert into batch_totals (batch, items, total) values ($1, 1, $2)"
        " on conflict (batch) do update set items = batch_totals.items + 1, total = batch_totals.total + excluded.total",
        row.aggregate_id, event.number);
  }
};

class batch : public maestro::aggregate<batch, batch_state> {
 public:
  static constexpr std::string_view type = "batch";
  using commands = maestro::commands<add, add_slowly>;
  using events = maestro::events<added>;
  using projections = maestro::projections<batch_totals>;
  using calls = maestro::calls<count_states>;
  static constexpr maestro::lifecycle_policy lifecycle{.snapshot_on_passivation = true};

  static auto eval(const batch_state& state, const add& command) -> maestro::result<std::vector<added>> {
    if (command.items < 0 || command.items > 100) return maestro::reject("a batch takes 0 to 100 items at a time");
    std::vector<added> list;
    for (std::int64_t i = 1; i <= command.items; ++i) list.push_back({state.items + i});
    return list;
  }
  static auto eval(const batch_state& state, const add_slowly& command) -> added {
    std::this_thread::sleep_for(std::chrono::milliseconds(command.milliseconds));
    return {state.items + 1};
  }
  static void apply(batch_state& state, const added& event) { state.items = event.number; }
  static auto call(const batch_state&, const count_states&) -> states_counted { return {counted::alive}; }
};

}  // namespace test
