#include "transfer.hpp"

#include <maestro/aggregates/bind.hpp>

namespace bank {

using maestro::reject;

auto transfer::eval(const transfer_state& state, const begin& command) -> maestro::result<begun> {
  if (!state.stage.empty()) return reject("the transfer has begun already");
  if (command.from.empty() || command.to.empty()) return reject("a transfer needs two accounts");
  if (command.from == command.to) return reject("a transfer needs two different accounts");
  if (command.cents <= 0) return reject("a transfer must be positive");
  return begun{command.from, command.to, command.cents};
}

auto transfer::eval(const transfer_state& state, const note_payment&) -> std::optional<payment_made> {
  if (state.stage != stage::paying) return std::nullopt;
  return payment_made{};
}

auto transfer::eval(const transfer_state& state, const note_delivery&) -> std::optional<delivered> {
  if (state.stage != stage::delivering) return std::nullopt;
  return delivered{};
}

auto transfer::eval(const transfer_state& state, const note_return&) -> std::optional<returned> {
  if (state.stage != stage::returning) return std::nullopt;
  return returned{};
}

auto transfer::eval(const transfer_state& state, const note_refusal& command) -> maestro::emits<declined, turned_away> {
  if (state.stage == stage::paying) return declined{command.reason};
  if (state.stage == stage::delivering) return turned_away{command.reason};
  return maestro::nothing;
}

void transfer::apply(transfer_state& state, const begun& event) {
  state = {event.from, event.to, event.cents, std::string(stage::paying), ""};
}

void transfer::apply(transfer_state& state, const payment_made&) { state.stage = stage::delivering; }

void transfer::apply(transfer_state& state, const delivered&) { state.stage = stage::done; }

void transfer::apply(transfer_state& state, const declined& event) {
  state.stage = stage::failed;
  state.reason = event.reason;
}

void transfer::apply(transfer_state& state, const turned_away& event) {
  state.stage = stage::returning;
  state.reason = event.reason;
}

void transfer::apply(transfer_state& state, const returned&) { state.stage = stage::failed; }

auto open_transfers::schema() -> std::vector<maestro::schema_step> {
  return {maestro::per_store{
      .sqlite = "create table open_transfers (transfer blob primary key, command blob not null, payer text not null,"
                " payee text not null, cents integer not null, stage text not null) strict",
      .postgres = "create table open_transfers (transfer bytea primary key, command bytea not null, payer text not null,"
                  " payee text not null, cents bigint not null, stage text not null)"}};
}

void open_transfers::project(maestro::transaction& tx, const begun& event, const maestro::event& row) {
  tx.execute("insert into open_transfers (transfer, command, payer, payee, cents, stage) values ($1, $2, $3, $4, $5, $6)",
             row.aggregate_id, row.command_id.value(), event.from, event.to, event.cents, std::string(stage::paying));
}

namespace {

void set_stage(maestro::transaction& tx, const maestro::event& row, std::string_view stage) {
  tx.execute("update open_transfers set stage = $2 where transfer = $1", row.aggregate_id, std::string(stage));
}

void take_out(maestro::transaction& tx, const maestro::event& row) {
  tx.execute("delete from open_transfers where transfer = $1", row.aggregate_id);
}

}  // namespace

void open_transfers::project(maestro::transaction& tx, const payment_made&, const maestro::event& row) {
  set_stage(tx, row, stage::delivering);
}

void open_transfers::project(maestro::transaction& tx, const turned_away&, const maestro::event& row) {
  set_stage(tx, row, stage::returning);
}

void open_transfers::project(maestro::transaction& tx, const delivered&, const maestro::event& row) { take_out(tx, row); }

void open_transfers::project(maestro::transaction& tx, const declined&, const maestro::event& row) { take_out(tx, row); }

void open_transfers::project(maestro::transaction& tx, const returned&, const maestro::event& row) { take_out(tx, row); }

}  // namespace bank

template auto maestro::define<bank::transfer>() -> maestro::definition_ptr;
