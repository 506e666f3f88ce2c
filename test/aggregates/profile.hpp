// A domain that has changed twice since it began to record events, for the tests of evolution. In short:
//   first   registered {name}, moved {address}, nickname_set {nickname}
//   then    registered gained `language`; moved was renamed to relocated
//   today   relocated became street_changed and city_changed; nicknames are gone, unless they are a name
#pragma once

#include <maestro/aggregates/bind.hpp>

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace test {

struct registered {
  std::string name;
  std::string language = "en";
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name));
    maestro::optional_member(archive, "language", language);
  }
};
struct renamed {
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name));
  }
};
struct street_changed {
  std::string street;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(street));
  }
};
struct city_changed {
  static constexpr std::string_view former_names[] = {"town_changed"};
  std::string city;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(city));
  }
};

/// "Street, City".
struct relocated {
  static constexpr std::string_view former_names[] = {"moved"};
  std::string address;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(address));
  }
};
using nickname_set = maestro::stored_json<"nickname_set">;
/// Of a time that nobody remembers: a whole move in one number.
struct teleported {
  int place = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(place));
  }
};

struct change_street {
  std::string street;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(street));
  }
};

struct profile_state {
  std::string name;
  std::string language;
  std::string street;
  std::string city;
  int changes = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(name), CEREAL_NVP(language), CEREAL_NVP(street), CEREAL_NVP(city), CEREAL_NVP(changes));
  }
};

/// Where everybody lives, with the row that told so.
struct cities {
  static auto schema() -> std::vector<maestro::schema_step> {
    return {maestro::per_store{.sqlite = "create table cities (profile blob primary key, city text not null, sequence integer not null) strict",
                               .postgres = "create table cities (profile bytea primary key, city text not null, sequence integer not null)"}};
  }
  static void project(maestro::transaction& tx, const city_changed& event, const maestro::event& row) {
    tx.execute("insert into cities (profile, city, sequence) values ($1, $2, $3)"
               " on conflict (profile) do update set city = excluded.city, sequence = excluded.sequence",
               row.aggregate_id, event.city, row.sequence);
  }
};

class profile : public maestro::aggregate<profile, profile_state> {
 public:
  static constexpr std::string_view type = "profile";
  using commands = maestro::commands<change_street>;
  using events = maestro::events<registered, renamed, street_changed, city_changed>;
  using former_events = maestro::former_events<relocated, nickname_set, teleported>;
  using projections = maestro::projections<cities>;

  static auto eval(const profile_state&, const change_street& command) -> street_changed { return {command.street}; }

  static auto upcast(const relocated& old) -> maestro::emits<street_changed, city_changed> {
    const auto comma = old.address.find(", ");
    if (comma == std::string::npos) return city_changed{old.address};
    return {street_changed{old.address.substr(0, comma)}, city_changed{old.address.substr(comma + 2)}};
  }
  static auto upcast(const nickname_set& old) -> std::optional<renamed> {
    const auto nickname = nlohmann::json::parse(old.body).value("nickname", "");
    if (nickname.find(' ') == std::string::npos) return std::nullopt;
    return renamed{nickname};
  }
  static auto upcast(const teleported& old, const maestro::event& row) -> maestro::result<relocated> {
    if (old.place < 0) throw std::runtime_error("there is no such place");
    if (old.place == 0) return maestro::reject("place 0 was never given a name");
    return relocated{"Row " + std::to_string(row.sequence) + ", Place " + std::to_string(old.place)};
  }

  static void apply(profile_state& state, const registered& event) {
    state.name = event.name;
    state.language = event.language;
    ++state.changes;
  }
  static void apply(profile_state& state, const renamed& event) {
    state.name = event.name;
    ++state.changes;
  }
  static void apply(profile_state& state, const street_changed& event) {
    state.street = event.street;
    ++state.changes;
  }
  static void apply(profile_state& state, const city_changed& event) {
    state.city = event.city;
    ++state.changes;
  }
};

}  // namespace test
