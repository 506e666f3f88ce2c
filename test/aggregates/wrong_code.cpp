// An aggregate, right as it stands, and wrong in one way for each macro: wrong_code_test compiles them and reads what the
// compiler says.
#include <maestro/aggregates/bind.hpp>

#include <string_view>

template <class Derived>
struct with_number {
  int number = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(number));
  }
};

#ifdef MEMBER_IS_LONG_LONG
struct raise {
  long long number = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(number));
  }
};
#else
struct raise : with_number<raise> {};
#endif
struct lower : with_number<lower> {};
struct raised : with_number<raised> {};
struct lowered : with_number<lowered> {};
struct raised_before : with_number<raised_before> {
#ifdef FORMER_NAME_TAKEN
  static constexpr std::string_view former_names[] = {"lowered"};
#elif defined(NAME_OF_THE_RUNTIME)
  static constexpr std::string_view former_names[] = {"$rejected"};
#endif
};
struct level : with_number<level> {};

#ifdef COMMAND_WITHOUT_SERIALIZE
struct reset {
  int to = 0;
};
#else
struct reset {};
#endif

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
  using former_events = maestro::former_events<raised_before>;
  using projections = maestro::projections<levels>;

#ifdef UPCAST_TO_NO_EVENT
  static auto upcast(const raised_before&) -> level { return {}; }
#elif !defined(UPCAST_MISSING)
  static auto upcast(const raised_before& old) -> raised { return {{old.number}}; }
#endif

  static auto eval(const level&, const raise& command) -> raised { return {{static_cast<int>(command.number)}}; }
#ifndef EVAL_MISSING
  static auto eval(const level&, const lower& command) -> maestro::result<lowered> { return lowered{{command.number}}; }
#endif
#ifdef EVAL_RETURNS_BOOL
  static auto eval(const level&, const reset&) -> bool { return true; }
#else
  static auto eval(const level&, const reset&) { return maestro::nothing; }
#endif
  static void apply(level& state, const raised& event) { state.number += event.number; }
#ifndef APPLY_MISSING
  static void apply(level& state, const lowered& event) { state.number -= event.number; }
#endif
};

auto defined() -> maestro::definition_ptr { return maestro::define<gauge>(); }
