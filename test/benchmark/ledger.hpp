// The domain that is measured: ledgers whose events have three members, plain, with a projection of one row, and
// with one that can be held up.
#pragma once

#include "measuring.hpp"

#include <maestro/aggregates/bind.hpp>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::benchmark {

/// An entry: about 100 bytes of JSON, unless `note` is made longer.
struct entry {
  std::int64_t cents = 0;
  std::string account;
  std::string note;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents), CEREAL_NVP(account), CEREAL_NVP(note));
  }
};

struct record : entry {};
struct recorded : entry {};

/// Records `count` times the same entry.
struct record_many {
  std::int64_t count = 1;
  std::string note;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count), CEREAL_NVP(note));
  }
};

struct balance {
  std::int64_t cents = 0;
  std::int64_t entries = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(cents), CEREAL_NVP(entries));
  }
};

inline auto example_entry(std::int64_t cents = 12'345, std::string note = "a transfer between two friends") -> entry {
  return {cents, "0199a0b1c2d300001122334455667788", std::move(note)};
}

/// The body of the example's event, with `note`, as the references insert it.
inline auto entry_json(const std::string& note = example_entry().note) -> std::string { return must(encode(recorded{example_entry(12'345, note)})); }

inline auto example_record() -> record { return {example_entry()}; }

template <class Self>
class any_ledger : public aggregate<Self, balance> {
 public:
  using commands = maestro::commands<record, record_many>;
  using events = maestro::events<recorded>;
  static auto eval(const balance&, const record& command) -> recorded { return {command}; }
  static auto eval(const balance&, const record_many& command) -> std::vector<recorded> {
    return std::vector<recorded>(static_cast<std::size_t>(command.count), recorded{example_entry(1, command.note)});
  }
  static void apply(balance& state, const recorded& event) {
    state.cents += event.cents;
    ++state.entries;
  }
};

class ledger : public any_ledger<ledger> {
 public:
  static constexpr std::string_view type = "ledger";
};

/// A row for each ledger. Refuses entries below zero.
struct ledger_totals {
  static constexpr std::string_view registered_name = "ledger_totals";
  static auto schema() -> std::vector<schema_step> {
    return {per_store{.sqlite = "CREATE TABLE ledger_totals (id BLOB NOT NULL PRIMARY KEY, cents INTEGER NOT NULL, "
                                "newest INTEGER NOT NULL CHECK (newest >= 0)) STRICT",
                      .postgres = "CREATE TABLE ledger_totals (id bytea PRIMARY KEY, cents bigint NOT NULL, "
                                  "newest bigint NOT NULL CHECK (newest >= 0))"}};
  }
  static void project(transaction& tx, const recorded& entry, const event& row) {
    tx.execute("INSERT INTO ledger_totals (id, cents, newest) VALUES ($1, $2, $2) "
               "ON CONFLICT (id) DO UPDATE SET cents = ledger_totals.cents + excluded.cents, newest = excluded.newest",
               row.aggregate_id, entry.cents);
  }
};

class projected_ledger : public any_ledger<projected_ledger> {
 public:
  static constexpr std::string_view type = "projected_ledger";
  using projections = maestro::projections<ledger_totals>;
};

/// Holds commits up for as long as it is shut.
struct gate {
  static constexpr std::string_view registered_name = "gate";
  static auto schema() -> std::vector<schema_step> { return {}; }
  static void project(transaction&, const recorded&, const event&) { is_open.wait(false); }
  static inline std::atomic<bool> is_open{true};
};

class held_ledger : public any_ledger<held_ledger> {
 public:
  static constexpr std::string_view type = "held_ledger";
  using projections = maestro::projections<gate>;
  template <class Command>
  static auto eval(const balance& state, const Command& command) {
    ++evaluated;
    return any_ledger<held_ledger>::eval(state, command);
  }
  static inline std::atomic<std::size_t> evaluated{0};
};

inline auto ledger_types() -> std::vector<definition_ptr> { return {define<ledger>(), define<projected_ledger>(), define<held_ledger>()}; }

}  // namespace maestro::benchmark
