#include "package.hpp"

namespace packages {

using maestro::reject;

namespace {

// Every event carries the name for the projection's sake: it must be the one that the aggregate is known by.
auto check_name(const std::string& name, const maestro::context& with) -> maestro::error {
  if (maestro::derive_aggregate_id(package::type, name) == with.aggregate_id) return {};
  return reject("this aggregate is not the package \"" + name + "\"");
}

auto is_there(const package_state& state) -> bool { return state.status == "installed" || state.status == "unknown"; }

}  // namespace

// An installed package may be installed again: dpkg says so after an attempt that failed and that it undid.
auto package::eval(const package_state&, const install& command, const maestro::context& with)
    -> maestro::result<installed> {
  if (auto wrong = check_name(command.name, with)) return wrong;
  if (command.version.empty()) return reject("an installation needs a version");
  return installed{command.name, command.version};
}

auto package::eval(const package_state& state, const upgrade& command, const maestro::context& with)
    -> maestro::result<upgraded> {
  if (auto wrong = check_name(command.name, with)) return wrong;
  if (command.version.empty()) return reject("an upgrade needs a version");
  if (!is_there(state)) return reject("the package is not installed: it was " + state.status);
  return upgraded{command.name, command.from, command.version};
}

auto package::eval(const package_state& state, const remove& command, const maestro::context& with)
    -> maestro::result<removed> {
  if (auto wrong = check_name(command.name, with)) return wrong;
  if (!is_there(state)) return reject("the package is not installed: it was " + state.status);
  return removed{command.name};
}

auto package::eval(const package_state& state, const purge& command, const maestro::context& with)
    -> maestro::result<purged> {
  if (auto wrong = check_name(command.name, with)) return wrong;
  if (state.status == "purged") return reject("nothing is left to purge");
  return purged{command.name};
}

void package::apply(package_state& state, const installed& event) { state = {event.version, "installed"}; }

void package::apply(package_state& state, const upgraded& event) { state = {event.version, "installed"}; }

void package::apply(package_state& state, const removed&) { state.status = "removed"; }

void package::apply(package_state& state, const purged&) { state = {"", "purged"}; }

namespace {

void put(maestro::transaction& tx, const std::string& name, const std::string& version) {
  tx.execute(
      "insert into installed_packages (name, version) values ($1, $2)"
      " on conflict (name) do update set version = excluded.version",
      name, version);
}

void take_away(maestro::transaction& tx, const std::string& name) {
  tx.execute("delete from installed_packages where name = $1", name);
}

}  // namespace

auto installed_packages::schema() -> std::vector<maestro::schema_step> {
  return {maestro::per_store{.sqlite = "create table installed_packages (name text primary key, version text not null) strict",
           .postgres = "create table installed_packages (name text primary key, version text not null)"}};
}

void installed_packages::project(maestro::transaction& tx, const installed& event, const maestro::event&) {
  put(tx, event.name, event.version);
}

void installed_packages::project(maestro::transaction& tx, const upgraded& event, const maestro::event&) {
  put(tx, event.name, event.version);
}

void installed_packages::project(maestro::transaction& tx, const removed& event, const maestro::event&) {
  take_away(tx, event.name);
}

void installed_packages::project(maestro::transaction& tx, const purged& event, const maestro::event&) {
  take_away(tx, event.name);
}

}  // namespace packages
