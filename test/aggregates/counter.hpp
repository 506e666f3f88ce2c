// A counter that can do everything an aggregate can do wrong: for the tests of the lifecycle.
#pragma once

#include <maestro/aggregates/bind.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

struct add {
  std::int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(amount));
  }
};
/// Adds 1, 2 ... `count`, one event each.
struct climb {
  int count = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count));
  }
};
/// Adds `amount` unless the total would exceed `limit`.
struct add_below {
  std::int64_t amount = 0;
  std::int64_t limit = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(amount), CEREAL_NVP(limit));
  }
};
struct look {};
struct throw_in_eval {};
/// Adds 1, then an event whose apply throws.
struct throw_in_apply {};
/// Claims `label` in a table where it must be unique.
struct claim {
  std::string label;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(label));
  }
};

struct added {
  std::int64_t amount = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(amount));
  }
};
struct spoiled {};
struct claimed {
  std::string label;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(label));
  }
};

struct counter_state {
  std::int64_t total = 0;
  std::vector<std::int64_t> amounts;  ///< In the order applied: shows what the total would hide.
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(total), CEREAL_NVP(amounts));
  }
};

struct average {};
struct average_reply {
  double value = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(value));
  }
};

struct labels {
  static auto schema() -> std::vector<maestro::schema_step> {
    return {maestro::per_store{.sqlite = "create table labels (label text not null, counter blob not null) strict;"
             "create unique index labels_label_index on labels (label)",
             .postgres = "create table labels (label text not null, counter bytea not null);"
             "create unique index labels_label_index on labels (label)"}};
  }
  static void project(maestro::transaction& tx, const claimed& event, const maestro::event& row) {
    tx.execute("insert into labels (label, counter) values ($1, $2)", event.label, row.aggregate_id);
  }
};

class counter : public maestro::aggregate<counter, counter_state> {
 public:
  static constexpr std::string_view type = "counter";
  using commands = maestro::commands<add, climb, add_below, look, throw_in_eval, throw_in_apply, claim>;
  using events = maestro::events<added, spoiled, claimed>;
  using projections = maestro::projections<labels>;
  using calls = maestro::calls<average>;

  static auto eval(const counter_state&, const add& command) -> added { return {command.amount}; }
  static auto eval(const counter_state&, const climb& command) -> std::vector<added> {
    std::vector<added> steps;
    for (int i = 1; i <= command.count; ++i) steps.push_back({i});
    return steps;
  }
  static auto eval(const counter_state& state, const add_below& command) -> maestro::result<added> {
    if (state.total + command.amount > command.limit)
      return maestro::reject("the total is " + std::to_string(state.total));
    return added{command.amount};
  }
  static auto eval(const counter_state&, const look&) { return maestro::nothing; }
  static auto eval(const counter_state&, const throw_in_eval&) -> maestro::result<added> {
    throw std::runtime_error("eval has a bad day");
  }
  static auto eval(const counter_state&, const throw_in_apply&) -> maestro::emits<added, spoiled> {
    return {added{1}, spoiled{}};
  }
  static auto eval(const counter_state&, const claim& command) -> claimed { return {command.label}; }

  static void apply(counter_state& state, const added& event) {
    state.total += event.amount;
    state.amounts.push_back(event.amount);
  }
  static void apply(counter_state&, const spoiled&) { throw std::runtime_error("apply has a bad day"); }
  static void apply(counter_state&, const claimed&) {}

  static auto call(const counter_state& state, const average&) -> maestro::result<average_reply> {
    if (state.amounts.empty()) return maestro::reject("nothing was added yet");
    return average_reply{static_cast<double>(state.total) / static_cast<double>(state.amounts.size())};
  }
};

}  // namespace test
