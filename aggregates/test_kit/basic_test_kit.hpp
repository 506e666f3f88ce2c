// The test kit for any test framework: given events, when command, then events or a rejection. With Boost.Test, include
// <maestro/aggregates/test_kit.hpp> instead.
#pragma once

#include <maestro/aggregates/bind.hpp>
#include <maestro/aggregates/test_kit/examination.hpp>

#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro {

/// How the kit tells a test framework what came of a check: `passed()` once for each that is as expected, `failed(text,
/// where)` for each that is not, which may throw.
template <class Report>
concept test_report = requires(const std::string& text, const std::source_location& where) {
  Report::passed();
  Report::failed(text, where);
};

/// A row of a history as the log holds it: for what former versions of a domain wrote.
struct stored_event {
  std::string type;
  std::string body;  ///< One JSON object.
};

namespace detail {

template <class Report>
auto report_check(const std::string& problem, const std::source_location& where) -> bool {
  if (problem.empty()) Report::passed();
  else Report::failed(problem, where);
  return problem.empty();
}

template <class... Events>
auto rewrite_event(std::string_view type, std::string_view body, events<Events...>) -> result<std::string> {
  result<std::string> answer = error{errc::cannot_hydrate, "the aggregate has no such event"};
  const auto rewrite = [&]<class Event>(std::type_identity<Event>) {
    auto value = decode<Event>(json_in_stored_order(body));  // As the database may give it back.
    answer = value ? encode(*value) : result<std::string>(value.failure());
    return true;
  };
  (void)((registered_name<Events>() == type && rewrite(std::type_identity<Events>{})) || ...);
  return answer;
}

template <class Aggregate>
auto kit_subject_of() -> const kit_subject& {
  static const kit_subject subject{define<Aggregate>(), [](std::string_view type, std::string_view body) {
                                     return rewrite_event(type, body, typename Aggregate::events{});
                                   }};
  return subject;
}

template <class Aggregate>
auto state_in(const examination& from) -> typename Aggregate::state {
  const auto* state = static_cast<const typename Aggregate::state*>(from.state().get());
  return state == nullptr ? typename Aggregate::state{} : *state;  // Null where initial_state threw.
}

/// Whether `Given` holds nothing but events of `Events`.
template <class Given, class Events>
inline constexpr bool holds_events = emits_only<Given, Events>::value && !std::is_same_v<Given, error>;

/// Whether `Given` can be part of a history.
template <class Given, class Aggregate>
inline constexpr bool is_history = std::is_same_v<Given, stored_event> || holds_events<Given, stored_events<Aggregate>>;

/// Encodes and collects what an author gives or expects. Rows, and events of an old form, have no value: they are read from
/// the log as it holds them.
template <class Aggregate>
class kit_collector {
 public:
  template <class Event>
  auto operator()(const Event& event) -> result<void> {
    if constexpr (std::is_same_v<Event, stored_event>) return add(event.type, json_compact(event.body), nullptr);
    else if constexpr (is_stored_json<Event>) return add(registered_name<Event>(), json_compact(event.body), nullptr);
    else if constexpr (!is_listed<Event, typename Aggregate::events>) return add(registered_name<Event>(), encode(event), nullptr);
    else return add(registered_name<Event>(), encode(event), std::make_shared<Event>(event));
  }
  [[nodiscard]] auto take() && -> std::vector<emitted_event> { return std::move(list_); }

 private:
  auto add(std::string_view type, result<std::string> body, std::shared_ptr<const void> value) -> result<void> {
    if (!body) return error{errc::invalid_event, "event \"" + std::string(type) + "\": " + body.failure().message};
    list_.push_back({type, std::move(*body), std::move(value)});
    return {};
  }

  std::vector<emitted_event> list_;
};

/// The result refers to the names in `given`.
template <class Aggregate, class... Given>
auto collect_events(const Given&... given) -> emitted_list {
  kit_collector<Aggregate> collected;
  result<void> outcome;
  [[maybe_unused]] const auto add = [&](const auto& each) {
    // The name of a row is the author's own string: of a copy it would not last.
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(each)>, stored_event>) outcome = collected(each);
    else outcome = for_each_emitted(each, collected);
    return outcome.has_value();
  };
  if (!(add(given) && ...)) return std::move(outcome).failure();
  return std::move(collected).take();
}

}  // namespace detail

/// What came of a command. Each check reports once, at the line of its `when`; after one that failed the others of the
/// same chain are silent. Besides what is asked, every check fails when
///  - `eval`, asked twice, does not answer the same: the runtime may ask several times;
///  - `apply` throws for an event that `eval` answered with;
///  - an event is not the same after the codec, or `apply` comes to another state with what is read back from the log.
template <class Aggregate, class Report>
class test_outcome {
 public:
  /// The command was accepted, with these events and no others. Takes the aggregate's events, also in a `std::vector`
  /// or in `maestro::emits`; without any, or with `maestro::nothing`, the command was accepted and recorded nothing.
  template <class... Expected>
  auto then(const Expected&... expected) -> test_outcome& {
    static_assert((detail::holds_events<Expected, typename Aggregate::events> && ...),
                  "maestro: `then` takes the aggregate's listed events; for a rejection say .rejected(\"reason\")");
    return report(examination_.check_events(detail::collect_events<Aggregate>(expected...)));
  }
  /// The domain refused the command, for exactly this reason. An `eval` that throws is no rejection.
  auto rejected(std::string_view reason) -> test_outcome& { return report(examination_.check_rejection(reason)); }
  /// The domain refused the command, for whatever reason.
  auto rejected() -> test_outcome& { return report(examination_.check_rejection(std::nullopt)); }
  /// The refusal is final, `reject("...").recorded()`: `.rejected("reason").recorded()`.
  auto recorded() -> test_outcome& { return report(examination_.check_recorded()); }
  /// The state after the command's events, which a rejection leaves as it was. Compared as JSON.
  auto then_state(const typename Aggregate::state& expected) -> test_outcome& {
    return report(examination_.check_state(encode(expected)));
  }
  /// The state after the command's events, for checks of one's own.
  [[nodiscard]] auto state() -> typename Aggregate::state {
    if (!examination_.problem().empty()) report(examination_.problem());
    return detail::state_in<Aggregate>(examination_);
  }
  /// Another command, on the state after this one; its command id is another, all else in its context as before.
  template <class Command>
  [[nodiscard]] auto when(const Command& command, std::source_location where = std::source_location::current()) const
      -> test_outcome {
    return test_outcome(examination_, command, where, silent_);
  }

 private:
  template <class, class>
  friend class test_scenario;

  template <class Command>
  test_outcome(detail::examination from, const Command& command, const std::source_location& where, bool silent)
      : examination_(std::move(from)), where_(where), silent_(silent) {
    static_assert(detail::is_listed<Command, typename Aggregate::commands>,
                  "maestro: `when` takes one of the aggregate's listed commands");
    examination_.when(registered_name<Command>(), encode(command));
  }

  auto report(const std::string& problem) -> test_outcome& {
    if (!silent_) silent_ = !detail::report_check<Report>(problem, where_);
    return *this;
  }

  detail::examination examination_;
  std::source_location where_;
  bool silent_;
};

/// What is given before a command, and what `eval` gets to know besides. A value: one scenario can be used for several
/// commands.
template <class Aggregate, class Report>
class [[nodiscard]] test_scenario {
 public:
  explicit test_scenario(detail::examination from) : examination_(std::move(from)) {}

  // The context. Defaults: the aggregate named "test" of its type, the beginning of the year 2000 (UTC), a command id
  // of that time, no metadata. Its sequence is the number of events that are given.

  /// The aggregate's id, by its name.
  auto named(std::string_view name) const -> test_scenario { return id(Aggregate::id::named(name)); }
  auto id(const aggregate_id& value) const -> test_scenario {
    return changed([&](detail::examination& copy) { copy.with().aggregate_id = value; });
  }
  /// When the node took the command up.
  auto at(std::chrono::system_clock::time_point time) const -> test_scenario {
    return changed([&](detail::examination& copy) { copy.with().time = time; });
  }
  auto command_id(const maestro::command_id& value) const -> test_scenario {
    return changed([&](detail::examination& copy) { copy.with().command_id = value; });
  }
  /// The caller's JSON object. A command with metadata that a node would refuse fails its checks.
  auto metadata(std::string json) const -> test_scenario {
    return changed([&](detail::examination& copy) { copy.set_metadata(std::move(json)); });
  }

  /// Sends `command` (through the codec, as a client does). Failures of what follows are reported at this line.
  template <class Command>
  [[nodiscard]] auto when(const Command& command, std::source_location where = std::source_location::current()) const
      -> test_outcome<Aggregate, Report> {
    return test_outcome<Aggregate, Report>(examination_, command, where, false);
  }

  /// The state that follows from what is given. Compared as JSON.
  void then_state(const typename Aggregate::state& expected,
                  std::source_location where = std::source_location::current()) const {
    detail::report_check<Report>(examination_.check_state(encode(expected)), where);
  }
  /// The same state, for checks of one's own.
  [[nodiscard]] auto state(std::source_location where = std::source_location::current()) const ->
      typename Aggregate::state {
    if (!examination_.problem().empty()) Report::failed(examination_.problem(), where);
    return detail::state_in<Aggregate>(examination_);
  }

 private:
  template <class Change>
  auto changed(Change change) const -> test_scenario {
    auto copy = *this;
    change(copy.examination_);
    return copy;
  }

  detail::examination examination_;
};

/// Examples of an aggregate's events, for `survive_the_codec`.
template <class Aggregate, class Report>
class [[nodiscard]] test_examples {
 public:
  template <class... Examples>
  explicit test_examples(const Examples&... examples) : examples_(detail::collect_events<Aggregate>(examples...)) {
    (compare_values(examples), ...);
  }

  /// Every event type of the aggregate, by its default value and by the examples, is the same after it was written as
  /// JSON and read back: as JSON, and as a value where it has an `operator==`. Fails as well when the examples cannot
  /// tell: when a type with members has no example, or one of its members has its default value in all of them.
  void survive_the_codec(std::source_location where = std::source_location::current()) const {
    const auto defaults = defaults_of(typename Aggregate::events{});
    auto problem = detail::check_examples(detail::kit_subject_of<Aggregate>(), defaults, examples_);
    if (problem.empty() && !unlike_.empty()) problem = std::string(Aggregate::type) + ": " + unlike_;
    detail::report_check<Report>(problem, where);
  }

 private:
  template <class... Events>
  static auto defaults_of(events<Events...>) -> std::vector<detail::default_event> {
    return {{registered_name<Events>(), encode(Events{}), !std::is_empty_v<Events>}...};
  }

  // JSON cannot show a member that serialize leaves out.
  template <class Event>
  void compare_values(const Event& value) {
    if constexpr (std::equality_comparable<Event>) {
      const auto body = encode(value);
      if (!body) return;
      const auto back = decode<Event>(*body);
      if (back && !(*back == value))
        unlike_ = std::string(registered_name<Event>()) + " " + *body +
                  " is another value when it is read back, with the same JSON: is a member missing in serialize?";
    }
  }

  detail::emitted_list examples_;
  std::string unlike_;
};

/// Tests of the aggregate class `Aggregate` without actor, store or node. `Report` is the test framework's side.
template <class Aggregate, test_report Report>
struct basic_test_kit {
  /// The history: the aggregate's events, also in a `std::vector` or in `maestro::emits`, and what the log holds of old
  /// forms, as a listed former event or as `maestro::stored_event{"name", json}`. All are applied as they are read from the
  /// log. One that cannot be read, or does not survive the codec, or whose `apply` throws, fails every check that follows.
  template <class... History>
  static auto given(const History&... history) -> test_scenario<Aggregate, Report> {
    static_assert((detail::is_history<History, Aggregate> && ...),
                  "maestro: `given` takes the aggregate's listed events, their former forms, or maestro::stored_event");
    detail::examination start(detail::kit_subject_of<Aggregate>());
    start.given(detail::collect_events<Aggregate>(history...));
    return test_scenario<Aggregate, Report>(std::move(start));
  }
  /// A state, however it came about, at a sequence.
  static auto given_state(typename Aggregate::state state, sequence_number sequence = 0)
      -> test_scenario<Aggregate, Report> {
    detail::examination start(detail::kit_subject_of<Aggregate>());
    start.given_state(std::make_shared<typename Aggregate::state>(std::move(state)), sequence);
    return test_scenario<Aggregate, Report>(std::move(start));
  }
  /// Values of the aggregate's events, at least one of each type that has members.
  template <class... Examples>
  static auto examples(const Examples&... examples) -> test_examples<Aggregate, Report> {
    static_assert((detail::is_listed<Examples, typename Aggregate::events> && ...),
                  "maestro: an example is one of the aggregate's listed events");
    return test_examples<Aggregate, Report>(examples...);
  }
};

}  // namespace maestro
