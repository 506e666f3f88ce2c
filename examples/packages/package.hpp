// A Debian package on one machine, as the aggregate that dpkg's log tells the life of.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <string>
#include <vector>

namespace packages {

/// The package comes, where it was not; or comes back.
struct install {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};
/// The package changes its version (or is installed again in the same one).
struct upgrade {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};
/// The package goes; its configuration files may stay.
struct remove {};
/// The configuration files go, too.
struct purge {};

struct installed {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};
struct upgraded {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};
struct removed {};
struct purged {};

struct package_state {
  std::string name;
  std::string version;  ///< Empty unless installed.
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};

/// What is installed, by name.
struct installed_packages {
  static auto schema() -> std::vector<maestro::schema_step> {
    return {{"create table installed_packages (package blob primary key, name text not null, version text not null) strict",
             "create table installed_packages (package bytea primary key, name text not null, version text not null)"}};
  }
  template <class Arrived>
  static void put(maestro::transaction& tx, const Arrived& event, const maestro::event& row) {
    tx.execute("insert into installed_packages (package, name, version) values ($1, $2, $3)"
               " on conflict (package) do update set version = excluded.version",
               row.aggregate_id, event.name, event.version);
  }
  static void project(maestro::transaction& tx, const installed& event, const maestro::event& row) { put(tx, event, row); }
  static void project(maestro::transaction& tx, const upgraded& event, const maestro::event& row) { put(tx, event, row); }
  static void project(maestro::transaction& tx, const removed&, const maestro::event& row) {
    tx.execute("delete from installed_packages where package = $1", row.aggregate_id);
  }
};

class package : public maestro::aggregate<package, package_state> {
 public:
  static constexpr std::string_view type = "package";
  using commands = maestro::commands<install, upgrade, remove, purge>;
  using events = maestro::events<installed, upgraded, removed, purged>;
  using projections = maestro::projections<installed_packages>;

  // The log is history: whatever it says has happened, also to packages that were there before it began.
  static auto eval(const package_state&, const install& command) -> installed { return {command.name, command.version}; }
  static auto eval(const package_state&, const upgrade& command) -> upgraded { return {command.name, command.version}; }
  static auto eval(const package_state&, const remove&) -> removed { return {}; }
  // Purging what is still installed removes it first.
  static auto eval(const package_state& state, const purge&) -> maestro::emits<removed, purged> {
    if (state.version.empty()) return {purged{}};
    return {removed{}, purged{}};
  }

  static void apply(package_state& state, const installed& event) {
    state.name = event.name;
    state.version = event.version;
  }
  static void apply(package_state& state, const upgraded& event) {
    state.name = event.name;
    state.version = event.version;
  }
  static void apply(package_state& state, const removed&) { state.version.clear(); }
  static void apply(package_state&, const purged&) {}
};

}  // namespace packages
