// A domain as two releases of one program have it, for the tests of mixed versions. From the first to the second,
// parcels gained the command send_off with its event, record their weight in milligrams (the former event is brought up
// to date), and lost the command stamp; depots are new.
#pragma once

#include <maestro/aggregates/bind.hpp>

#include <cstdint>
#include <string_view>

namespace test::both {

struct nothing_more {
  template <class Archive>
  void serialize(Archive&) {}
};
struct accept : nothing_more {};
struct weigh {
  std::int64_t grams = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(grams));
  }
};
struct accepted : nothing_more {};
struct stamped : nothing_more {};
struct weighed {
  std::int64_t grams = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(grams));
  }
};
struct parcel_state {
  std::int64_t grams = 0;
  int stamps = 0;
  bool sent = false;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(grams), CEREAL_NVP(stamps), CEREAL_NVP(sent));
  }
};

}  // namespace test::both

namespace test::first_release {

using namespace both;

struct stamp : nothing_more {};

struct parcel : maestro::aggregate<parcel, parcel_state> {
  static constexpr std::string_view type = "parcel";
  using commands = maestro::commands<accept, weigh, stamp>;
  using events = maestro::events<accepted, weighed, stamped>;
  static auto eval(const parcel_state&, const accept&) -> accepted { return {}; }
  static auto eval(const parcel_state&, const weigh& command) -> weighed { return {command.grams}; }
  static auto eval(const parcel_state&, const stamp&) -> stamped { return {}; }
  static void apply(parcel_state&, const accepted&) {}
  static void apply(parcel_state& state, const weighed& event) { state.grams += event.grams; }
  static void apply(parcel_state& state, const stamped&) { ++state.stamps; }
};

}  // namespace test::first_release

namespace test::second_release {

using namespace both;

struct send_off : nothing_more {};
struct sent_off : nothing_more {};
struct measured {
  std::int64_t milligrams = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(milligrams));
  }
};
struct where : nothing_more {};
struct place {
  bool sent = false;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(sent));
  }
};

struct parcel : maestro::aggregate<parcel, parcel_state> {
  static constexpr std::string_view type = "parcel";
  using commands = maestro::commands<accept, weigh, send_off>;
  using events = maestro::events<accepted, measured, stamped, sent_off>;
  using former_events = maestro::former_events<weighed>;
  using calls = maestro::calls<where>;
  static auto eval(const parcel_state&, const accept&) -> accepted { return {}; }
  static auto eval(const parcel_state&, const weigh& command) -> measured { return {command.grams * 1000}; }
  static auto eval(const parcel_state&, const send_off&) -> sent_off { return {}; }
  static auto upcast(const weighed& old) -> measured { return {old.grams * 1000}; }
  static void apply(parcel_state&, const accepted&) {}
  static void apply(parcel_state& state, const measured& event) { state.grams += event.milligrams / 1000; }
  static void apply(parcel_state& state, const stamped&) { ++state.stamps; }
  static void apply(parcel_state& state, const sent_off&) { state.sent = true; }
  static auto call(const parcel_state& state, const where&) -> test::second_release::place { return {state.sent}; }
};

struct fill : nothing_more {};
struct filled : nothing_more {};
struct depot_state {
  int filled = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(filled));
  }
};
struct depot : maestro::aggregate<depot, depot_state> {
  static constexpr std::string_view type = "depot";
  using commands = maestro::commands<fill>;
  using events = maestro::events<filled>;
  static auto eval(const depot_state&, const fill&) -> filled { return {}; }
  static void apply(depot_state& state, const filled&) { ++state.filled; }
};

}  // namespace test::second_release
