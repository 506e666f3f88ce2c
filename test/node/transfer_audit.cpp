#include "transfer_audit.hpp"

#include "transfer.hpp"

#include <maestro/store/codec.hpp>

#include <nlohmann/json.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace maestro::test {

namespace {

// How often money of one transfer was moved, and which way.
struct movements {
  int paid = 0;
  int refused = 0;
  int collected = 0;
  int turned_away = 0;
  std::string end;  // The last event of the transfer itself.

  friend auto operator==(const movements&, const movements&) -> bool = default;
};
using movements_by_transfer = std::map<std::string, movements>;

// Money that was turned away comes back by being collected, too.
const movements as_delivered{.paid = 1, .refused = 0, .collected = 1, .turned_away = 0, .end = "delivered"};
const movements as_declined{.paid = 0, .refused = 1, .collected = 0, .turned_away = 0, .end = "declined"};
const movements as_returned{.paid = 1, .refused = 0, .collected = 1, .turned_away = 1, .end = "returned"};

template <class T>
auto value_of(result<T> got) -> T {
  if (!got) throw audit_fault(to_string(got.failure()));
  return std::move(*got);
}

void read_transfers(store& log, movements_by_transfer& into, transfer_counts& counts) {
  for (const auto& head : value_of(log.list_aggregates("transfer", {}, 1'000'000))) {
    const auto events = value_of(log.get_events(head.aggregate_id, {}));
    into[head.aggregate_id.text()].end = events.back().type;
    for (const auto* step : {"pay", "paid", "declined", "collect", "delivered", "turned away", "take back", "returned"})
      counts.may_follow.insert(derive_command_id(events.front().command_id.value(), step));
  }
}

void read_accounts(store& log, movements_by_transfer& into) {
  for (const auto& head : value_of(log.list_aggregates("account", {}, 1'000'000)))
    for (sequence_number after = 0; after < head.sequence;)
      for (const auto& row : value_of(log.get_events(head.aggregate_id, {after}))) {
        after = row.sequence;
        if (row.type == "opened" || row.type == "deposited" || row.type == "withdrawn" || row.type == "closed") continue;
        auto& of = into[nlohmann::json::parse(row.body).at("transfer").get<std::string>()];
        if (row.type == "paid") ++of.paid;
        else if (row.type == "payment_refused") ++of.refused;
        else if (row.type == "collected") ++of.collected;
        else if (row.type == "collection_refused") ++of.turned_away;
        else throw audit_fault("an event that no account has: " + row.type);
      }
}

auto text_of(const movements& of) -> std::string {
  return "ended as \"" + of.end + "\", paid " + std::to_string(of.paid) + ", payments refused " + std::to_string(of.refused) +
         ", collected " + std::to_string(of.collected) + ", turned away " + std::to_string(of.turned_away);
}

}  // namespace

auto audit_transfers(store& from) -> transfer_counts {
  transfer_counts counts;
  movements_by_transfer all;
  read_transfers(from, all, counts);
  read_accounts(from, all);
  for (const auto& [id, of] : all) {
    if (of == as_delivered) ++counts.delivered;
    else if (of == as_declined) ++counts.declined;
    else if (of == as_returned) ++counts.returned;
    else throw audit_fault("transfer " + id + ": " + text_of(of));
  }
  if (!all.empty() && !value_of(from.query("select transfer from open_transfers", {})).empty())
    throw audit_fault("all transfers are over, and some are listed as open");
  return counts;
}

}  // namespace maestro::test
