#include "audit.hpp"

#include "account.hpp"
#include "batch.hpp"
#include "transfer_audit.hpp"

#include <maestro/store/codec.hpp>

#include <nlohmann/json.hpp>

#include <map>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace maestro::test {

namespace {

using history = std::vector<event>;
using row_map = std::map<std::string, std::string>;

template <class... Parts>
[[noreturn]] void fault(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw audit_fault(text.str());
}

template <class T>
auto value_of(result<T> got) -> T {
  if (!got) fault(to_string(got.failure()));
  return std::move(*got);
}

auto read_history(store& from, const aggregate_id& id) -> history {
  history all;
  while (true) {
    auto page = value_of(from.get_events(id, {static_cast<sequence_number>(all.size())}));
    if (page.empty()) return all;
    for (auto& row : page) {
      if (row.sequence != static_cast<sequence_number>(all.size()) + 1)
        fault("aggregate ", id.text(), ": sequence ", row.sequence, " after ", all.size());
      if (!all.empty() && row.timestamp <= all.back().timestamp)
        fault("aggregate ", id.text(), ": the time goes back at sequence ", row.sequence);
      all.push_back(std::move(row));
    }
  }
}

// The rows of one command: it begins where its id appears first, and says how many there are.
struct stored_command {
  maestro::aggregate_id aggregate_id;
  sequence_number first = 0;
  sequence_number last = 0;
};
using stored_commands = std::unordered_map<maestro::command_id, stored_command>;

void collect_commands(const history& rows, stored_commands& into) {
  for (std::size_t at = 0; at < rows.size();) {
    const auto& head = rows[at];
    if (!head.command_id) fault("an event without its command's id at sequence ", head.sequence);
    const auto metadata = nlohmann::json::parse(head.metadata, nullptr, false);
    if (!metadata.is_object() || !metadata.contains("$events"))
      fault("sequence ", head.sequence, " should begin a command, its metadata: ", head.metadata);
    const auto count = metadata["$events"].get<std::size_t>();
    if (count == 0 || count > rows.size() - at)
      fault("command ", head.command_id->text(), ": half of its ", count, " events are there");
    for (std::size_t i = 1; i < count; ++i)
      if (rows[at + i].command_id != head.command_id || !rows[at + i].metadata.empty())
        fault("command ", head.command_id->text(), " is torn at sequence ", rows[at + i].sequence);
    const stored_command found{head.aggregate_id, head.sequence, rows[at + count - 1].sequence};
    if (!into.emplace(*head.command_id, found).second) fault("command ", head.command_id->text(), " is there twice");
    at += count;
  }
}

// What a command put into the account that it was for, or took out of it.
auto cents_moved(const sent_command& command) -> std::int64_t {
  if (command.name != "deposit" && command.name != "withdraw") return 0;
  const auto cents = nlohmann::json::parse(command.payload).at("cents").get<std::int64_t>();
  return command.name == "deposit" ? cents : -cents;
}

void check_commands(const std::deque<sent_command>& sent, stored_commands stored, audit_counts& counts) {
  for (const auto& command : sent) {
    const auto found = stored.find(command.command_id);
    const bool is_stored = found != stored.end();
    const auto text = command.name + " " + command.payload + " " + command.command_id.text();
    if (is_stored && found->second.aggregate_id != command.aggregate_id) fault("at another aggregate: ", text);
    switch (command.known) {
      case verdict::accepted:
        if (is_stored != (command.first != 0)) fault("accepted with sequence ", command.first, ", not so stored: ", text);
        if (is_stored && (found->second.first != command.first || found->second.last != command.last))
          fault("accepted at other sequences than it is stored: ", text);
        break;
      case verdict::refused:
        if (is_stored) fault("refused, and yet stored: ", text);
        break;
      case verdict::in_doubt: ++(is_stored ? counts.landed : counts.lost);
    }
    if (!is_stored) continue;
    counts.cents += cents_moved(command);
    stored.erase(found);
  }
  std::erase_if(stored, [&](const auto& each) { return counts.transfers.may_follow.contains(each.first); });
  if (!stored.empty()) fault("stored and never sent: ", stored.begin()->first.text());
}

// What the projections' tables must hold, and what they do hold, as text.
struct tables {
  row_map balances;
  row_map handles;
  row_map batch_totals;
  std::int64_t cents = 0;  // All balances together.
};

template <class Event>
auto decoded(const event& row) -> Event {
  return value_of(decode<Event>(row.body));
}

void fold_account(const history& rows, tables& into) {
  bank::account_state state;
  for (const auto& row : rows) {
    if (row.type == "opened") bank::account::apply(state, decoded<bank::opened>(row));
    else if (row.type == "deposited") bank::account::apply(state, decoded<bank::deposited>(row));
    else if (row.type == "withdrawn") bank::account::apply(state, decoded<bank::withdrawn>(row));
    else if (row.type == "closed") bank::account::apply(state, decoded<bank::closed>(row));
    else if (row.type == "paid") bank::account::apply(state, decoded<bank::paid>(row));
    else if (row.type == "collected") bank::account::apply(state, decoded<bank::collected>(row));
    else if (row.type == "payment_refused" || row.type == "collection_refused") continue;
    else fault("an event that no account has: ", row.type);
    if (state.balance < 0) fault("a negative balance at sequence ", row.sequence);
  }
  if (!state.open) return;
  const auto id = rows.front().aggregate_id.text();
  into.balances[id] = state.owner + ": " + std::to_string(state.balance);
  into.cents += state.balance;
  into.handles[id] = state.handle;
}

void fold_batch(const history& rows, tables& into) {
  std::int64_t total = 0;
  for (const auto& row : rows) {
    const auto number = decoded<::test::added>(row).number;
    if (number != row.sequence) fault("item ", number, " is at sequence ", row.sequence);
    total += number;
  }
  into.batch_totals[rows.front().aggregate_id.text()] = std::to_string(rows.size()) + " items, " + std::to_string(total);
}

auto read_tables(store& from) -> tables {
  tables found;
  for (const auto& row : value_of(from.query("select account, owner, cents from balances", {})))
    found.balances[hex(row[0].as<sql_bytes>().bytes)] =
        row[1].as<std::string>() + ": " + std::to_string(row[2].as<std::int64_t>());
  for (const auto& row : value_of(from.query("select account, handle from handles", {})))
    found.handles[hex(row[0].as<sql_bytes>().bytes)] = row[1].as<std::string>();
  for (const auto& row : value_of(from.query("select batch, items, total from batch_totals", {})))
    found.batch_totals[hex(row[0].as<sql_bytes>().bytes)] =
        std::to_string(row[1].as<std::int64_t>()) + " items, " + std::to_string(row[2].as<std::int64_t>());
  return found;
}

auto text_of(const row_map& rows) -> std::string {
  std::string text;
  for (const auto& [key, value] : rows) text += "\n  " + key + " " + value;
  return text;
}

void check_equal(std::string_view name, const row_map& folded, const row_map& found) {
  if (folded != found) fault("table ", name, ", folded:", text_of(folded), "\nfound:", text_of(found));
}

}  // namespace

auto audit(store& from, const std::deque<sent_command>& sent) -> audit_counts {
  audit_counts counts;
  stored_commands stored;
  tables folded;
  counts.transfers = audit_transfers(from);
  for (const auto* type : {"account", "batch", "transfer"})
    for (const auto& head : value_of(from.list_aggregates(type, {}, 1'000'000))) {
      const auto rows = read_history(from, head.aggregate_id);
      if (rows.empty() || rows.back().sequence != head.sequence) fault("the list disagrees on ", head.aggregate_id.text());
      counts.events += rows.size();
      collect_commands(rows, stored);
      if (std::string_view(type) == "account") fold_account(rows, folded);
      else if (std::string_view(type) == "batch") fold_batch(rows, folded);
    }
  check_commands(sent, std::move(stored), counts);
  if (folded.cents != counts.cents) fault("the accounts hold ", folded.cents, " cents, and ", counts.cents, " were put there");
  const auto found = read_tables(from);
  check_equal("balances", folded.balances, found.balances);
  check_equal("handles", folded.handles, found.handles);
  check_equal("batch_totals", folded.batch_totals, found.batch_totals);
  return counts;
}

}  // namespace maestro::test
