// An aggregate, right as it stands, and wrong in one way for each macro: wrong_code_test compiles them and reads what the
// compiler says.
#include <maestro/aggregates/bind.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

template <class Derived>
struct with_number {
  int number = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(number));
  }
};

#if defined(MEMBER_IS_LONG_LONG) || defined(MEMBER_IS_UNSIGNED_LONG_LONG) || defined(MEMBER_IS_LONG_DOUBLE)
struct raise {
#if defined(MEMBER_IS_LONG_LONG)
  long long number = 0;
#elif defined(MEMBER_IS_UNSIGNED_LONG_LONG)
  unsigned long long number = 0;
#else
  long double number = 0;
#endif
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(number));
  }
};
#else
struct raise : with_number<raise> {};
#endif
struct lower : with_number<lower> {
#ifdef TWO_COMMANDS_OF_ONE_NAME
  static constexpr std::string_view registered_name = "raise";
#endif
};
struct raised : with_number<raised> {};
struct lowered : with_number<lowered> {
#ifdef TWO_EVENTS_OF_ONE_NAME
  static constexpr std::string_view registered_name = "raised";
#endif
};
struct raised_before : with_number<raised_before> {
#ifdef FORMER_NAME_TAKEN
  static constexpr std::string_view former_names[] = {"lowered"};
#elif defined(NAME_OF_THE_RUNTIME)
  static constexpr std::string_view former_names[] = {"$rejected"};
#elif defined(FORMER_NAMED_AS_LIVE)
  static constexpr std::string_view registered_name = "lowered";
#endif
};
struct raised_at_first : with_number<raised_at_first> {};
struct level : with_number<level> {};

#ifdef COMMAND_WITHOUT_SERIALIZE
struct reset {
  int to = 0;
};
#elif defined(SERIALIZE_IS_PRIVATE)
class reset {
  int to_ = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(to_));
  }
};
#elif defined(SERIALIZE_HAS_A_VERSION)
struct reset {
  int to = 0;
  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t) {
    archive(CEREAL_NVP(to));
  }
};
#elif defined(SAVE_WITHOUT_LOAD)
struct reset {
  int to = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(CEREAL_NVP(to));
  }
};
#else
// As cereal takes it: private, and in two.
class reset {
  friend class cereal::access;
  int to_ = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::make_nvp("to", to_));
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(cereal::make_nvp("to", to_));
  }
};
#endif
struct height {};
struct depth {
#ifdef TWO_CALLS_OF_ONE_NAME
  static constexpr std::string_view registered_name = "height";
#endif
};

struct levels {
#ifdef PROJECT_TAKES_A_MUTABLE_EVENT
  static void project(maestro::transaction&, raised&) {}
#elif defined(PROJECT_FOR_NO_EVENT)
  static void project(maestro::transaction&, const level&) {}
#else
  static void project(maestro::transaction&, const raised&) {}
#endif
};

class gauge : public maestro::aggregate<gauge, level> {
 public:
  static constexpr std::string_view type = "gauge";
  using commands = maestro::commands<raise, lower, reset>;
#ifdef EVENT_NOT_LISTED
  using events = maestro::events<raised>;
#else
  using events = maestro::events<raised, lowered>;
#endif
  using former_events = maestro::former_events<raised_before, raised_at_first, maestro::stored_json<"raised_once">>;
  using projections = maestro::projections<levels>;
  using calls = maestro::calls<height, depth>;

#ifdef UPCAST_TO_NO_EVENT
  static auto upcast(const raised_before&) -> level { return {}; }
#elif defined(UPCAST_TO_ITSELF)
  static auto upcast(const raised_before& old) -> std::optional<raised_before> {
    return old;
  }
#elif defined(UPCASTS_IN_A_CIRCLE_OF_TWO)
  static auto upcast(const raised_before&) -> std::vector<raised_at_first> {
    return {{}};
  }
#elif defined(UPCASTS_IN_A_CIRCLE_OF_THREE)
  static auto upcast(const raised_before&) -> std::variant<raised, maestro::stored_json<"raised_once">> {
    return raised{};
  }
#elif !defined(UPCAST_MISSING)
  static auto upcast(const raised_before& old) -> raised { return {{old.number}}; }
#endif
  static auto upcast(const raised_at_first& old) -> maestro::emits<raised_before, raised> {
    return raised{{old.number}};
  }
#ifdef UPCASTS_IN_A_CIRCLE_OF_THREE
  static auto upcast(const maestro::stored_json<"raised_once">&) -> maestro::result<raised_at_first> {
    return raised_at_first{};
  }
#else
  static auto upcast(const maestro::stored_json<"raised_once">&) -> raised {
    return {{ 1 }};
  }
#endif

  static auto eval(const level&, const raise& command) -> raised {
    raised event;
    event.number = static_cast<int>(command.number);
    return event;
  }
#ifndef EVAL_MISSING
  static auto eval(const level&, const lower& command) -> maestro::result<lowered> {
    lowered event;
    event.number = command.number;
    return event;
  }
#endif
#ifdef EVAL_RETURNS_BOOL
  static auto eval(const level&, const reset&) -> bool { return true; }
#else
  static auto eval(const level&, const reset&) { return maestro::nothing; }
#endif
  static void apply(level& state, const raised& event) { state.number += event.number; }
  static auto call(const level& state, const height&) -> level {
    return state;
  }
  static auto call(const level& state, const depth&) -> level {
    return state;
  }
#ifndef APPLY_MISSING
  static void apply(level& state, const lowered& event) { state.number -= event.number; }
#endif
};

auto defined() -> maestro::definition_ptr { return maestro::define<gauge>(); }
