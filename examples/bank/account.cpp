#include "account.hpp"

#include <maestro/aggregates/bind.hpp>

#include <limits>

namespace bank {

using maestro::reject;

auto account::eval(const account_state& state, const open& command) -> maestro::result<opened> {
  if (state.open) return reject("the account is already open");
  if (command.owner.empty()) return reject("an account needs an owner");
  if (command.handle.empty()) return reject("an account needs a handle");
  return opened{command.owner, command.handle};
}

auto account::eval(const account_state& state, const deposit& command) -> maestro::result<deposited> {
  if (!state.open) return reject("the account is not open");
  if (command.cents <= 0) return reject("a deposit must be positive");
  if (command.cents > std::numeric_limits<std::int64_t>::max() - state.balance)
    return reject("the balance would be too large");
  return deposited{command.cents};
}

auto account::eval(const account_state& state, const withdraw& command) -> maestro::result<withdrawn> {
  if (!state.open) return reject("the account is not open");
  if (command.cents <= 0) return reject("a withdrawal must be positive");
  if (command.cents > state.balance)
    return reject("insufficient funds: the balance is " + std::to_string(state.balance) + " cents");
  return withdrawn{command.cents};
}

auto account::eval(const account_state& state, const close&) -> maestro::result<closed> {
  if (!state.open) return reject("the account is not open");
  if (state.balance != 0) return reject("the balance must be zero, it is " + std::to_string(state.balance) + " cents");
  return closed{};
}

auto account::eval(const account_state& state, const pay& command) -> std::variant<paid, payment_refused> {
  if (!state.open) return payment_refused{command.transfer, "the paying account is not open"};
  if (command.cents <= 0) return payment_refused{command.transfer, "a payment must be positive"};
  if (command.cents > state.balance)
    return payment_refused{command.transfer, "insufficient funds: the balance is " + std::to_string(state.balance) + " cents"};
  return paid{command.transfer, command.cents};
}

auto account::eval(const account_state& state, const collect& command) -> std::variant<collected, collection_refused> {
  if (!state.open) return collection_refused{command.transfer, "the account that is to be paid is not open"};
  if (command.cents <= 0) return collection_refused{command.transfer, "a payment must be positive"};
  if (command.cents > std::numeric_limits<std::int64_t>::max() - state.balance)
    return collection_refused{command.transfer, "the balance would be too large"};
  return collected{command.transfer, command.cents};
}

auto account::eval(const account_state& state, const take_back& command) -> maestro::result<collected> {
  if (command.cents <= 0) return reject("a payment must be positive");
  if (command.cents > std::numeric_limits<std::int64_t>::max() - state.balance) return reject("the balance would be too large");
  return collected{command.transfer, command.cents};
}

void account::apply(account_state& state, const opened& event) {
  state.owner = event.owner;
  state.handle = event.handle;
  state.open = true;
}

void account::apply(account_state& state, const deposited& event) { state.balance += event.cents; }

void account::apply(account_state& state, const withdrawn& event) { state.balance -= event.cents; }

void account::apply(account_state& state, const closed&) { state.open = false; }

void account::apply(account_state& state, const paid& event) { state.balance -= event.cents; }

void account::apply(account_state& state, const collected& event) { state.balance += event.cents; }

auto balances::schema() -> std::vector<maestro::schema_step> {
  return {maestro::per_store{
      .sqlite = "create table balances (account blob primary key, owner text not null, cents integer not null) strict",
      .postgres = "create table balances (account bytea primary key, owner text not null, cents bigint not null)"}};
}

void balances::project(maestro::transaction& tx, const opened& event, const maestro::event& row) {
  tx.execute("insert into balances (account, owner, cents) values ($1, $2, 0)"
             " on conflict (account) do update set owner = excluded.owner",
             row.aggregate_id, event.owner);
}

void balances::project(maestro::transaction& tx, const deposited& event, const maestro::event& row) {
  tx.execute("update balances set cents = cents + $2 where account = $1", row.aggregate_id, event.cents);
}

void balances::project(maestro::transaction& tx, const withdrawn& event, const maestro::event& row) {
  tx.execute("update balances set cents = cents - $2 where account = $1", row.aggregate_id, event.cents);
}

void balances::project(maestro::transaction& tx, const closed&, const maestro::event& row) {
  tx.execute("delete from balances where account = $1", row.aggregate_id);
}

void balances::project(maestro::transaction& tx, const paid& event, const maestro::event& row) {
  tx.execute("update balances set cents = cents - $2 where account = $1", row.aggregate_id, event.cents);
}

void balances::project(maestro::transaction& tx, const collected& event, const maestro::event& row) {
  tx.execute("insert into balances (account, owner, cents) values ($1, '', $2)"
             " on conflict (account) do update set cents = balances.cents + excluded.cents",
             row.aggregate_id, event.cents);
}

auto handles::schema() -> std::vector<maestro::schema_step> {
  return {maestro::per_store{.sqlite = "create table handles (handle text not null, account blob primary key) strict",
                             .postgres = "create table handles (handle text not null, account bytea primary key)"},
          "create unique index handles_handle_index on handles (handle)"};
}

void handles::project(maestro::transaction& tx, const opened& event, const maestro::event& row) {
  tx.execute("insert into handles (handle, account) values ($1, $2)", event.handle, row.aggregate_id);
}

void handles::project(maestro::transaction& tx, const closed&, const maestro::event& row) {
  tx.execute("delete from handles where account = $1", row.aggregate_id);
}

}  // namespace bank

template auto maestro::define<bank::account>() -> maestro::definition_ptr;
