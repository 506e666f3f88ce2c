// A Debian package as an aggregate: what dpkg does to it are the commands, what became of it is the state. Known by its name
// and architecture, as dpkg's log writes them: `bash:amd64`.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <string>
#include <vector>

namespace packages {

// --- commands: one line of dpkg's log each --------------------------------------------------------------------------------

struct install {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};

struct upgrade {
  std::string name;
  std::string from;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(from), CEREAL_NVP(version));
  }
};

struct remove {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};

struct purge {
  std::string name;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(version));
  }
};

// --- events ---------------------------------------------------------------------------------------------------------------

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
  std::string from;
  std::string version;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(from), CEREAL_NVP(version));
  }
};

struct removed {
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name));
  }
};

struct purged {
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name));
  }
};

// --- state ----------------------------------------------------------------------------------------------------------------

/// `status` is `unknown` before the first event: the log may begin after the package came. `removed` leaves configuration
/// files behind if there are any (dpkg: `config-files`), `purged` nothing (dpkg: `not-installed`).
struct package_state {
  std::string version;
  std::string status = "unknown";
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(version), CEREAL_NVP(status));
  }
};

// --- projection -----------------------------------------------------------------------------------------------------------

/// The version of every package that is installed.
struct installed_packages {
  static auto schema() -> std::vector<maestro::schema_step>;
  static void project(maestro::transaction& tx, const installed& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const upgraded& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const removed& event, const maestro::event& row);
  static void project(maestro::transaction& tx, const purged& event, const maestro::event& row);
};

// --- the aggregate --------------------------------------------------------------------------------------------------------

class package : public maestro::aggregate<package, package_state> {
 public:
  static constexpr std::string_view type = "package";
  using commands = maestro::commands<install, upgrade, remove, purge>;
  using events = maestro::events<installed, upgraded, removed, purged>;
  using projections = maestro::projections<installed_packages>;

  static auto eval(const package_state& state, const install& command, const maestro::context& with)
      -> maestro::result<installed>;
  static auto eval(const package_state& state, const upgrade& command, const maestro::context& with)
      -> maestro::result<upgraded>;
  static auto eval(const package_state& state, const remove& command, const maestro::context& with)
      -> maestro::result<removed>;
  static auto eval(const package_state& state, const purge& command, const maestro::context& with)
      -> maestro::result<purged>;

  static void apply(package_state& state, const installed& event);
  static void apply(package_state& state, const upgraded& event);
  static void apply(package_state& state, const removed& event);
  static void apply(package_state& state, const purged& event);
};

}  // namespace packages
