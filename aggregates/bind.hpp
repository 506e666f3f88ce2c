// Binds an author's aggregate class to `definition`. The only place where the author's types meet the runtime, so this is
// also where wrong code is told so, in words.
#pragma once

#include <maestro/aggregates/definition.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace maestro {

namespace detail {

/// The names of a list.
template <class List>
inline constexpr std::array<std::string_view, 0> names_of{};
template <template <class...> class List, class... Ts>
inline constexpr std::array<std::string_view, sizeof...(Ts)> names_of<List<Ts...>> = {registered_name<Ts>()...};

// What need not be compiled for each aggregate is not: bind.cpp.

/// That the aggregates of `type` have no such `kind` as `name`, and which they have.
[[nodiscard]] auto unknown_name(errc code, std::string_view type, std::string_view kind, std::string_view name,
                                std::span<const std::string_view> known) -> error;
/// `why`, which happened to the `kind` called `name`, with `code`.
[[nodiscard]] auto failure_of(errc code, std::string_view kind, std::string_view name, const error& why) -> error;
/// The exception in flight, which came out of `what`, with `code`. Only for use in a `catch` block.
[[nodiscard]] auto thrown(errc code, std::string_view what) -> error;
/// That a command records more than `bounds` allow, in number, or with so many `bytes`.
[[nodiscard]] auto too_many_events(const event_bounds& bounds, std::size_t bytes) -> error;
/// Appends `step` with the number that follows.
void add_step(std::vector<migration>& steps, std::string_view component, schema_step step);

template <class First, class Second>
constexpr auto share_a_stored_name() -> bool {
  bool share = false;
  for_each_stored_name<First>([&](std::string_view name) { share = share || is_stored_as<Second>(name); });
  return share;
}
template <class First, class Second>
constexpr auto share_a_name() -> bool {
  return registered_name<First>() == registered_name<Second>();
}

// Instantiated for two types that clash, so that the compiler names both.
template <class First, class Second>
struct registered_under_one_name {
  static_assert(std::is_same_v<First, Second> && !std::is_same_v<First, Second>,
                "maestro: two commands, two calls or two projections of an aggregate are registered under one name");
  static constexpr bool done = true;
};
template <class First, class Second>
struct stored_under_one_name {
  static_assert(std::is_same_v<First, Second> && !std::is_same_v<First, Second>,
                "maestro: two events, or forms that events had, are stored under one name");
  static constexpr bool done = true;
};

template <class First, class Second>
constexpr auto differ_in_name() -> bool {
  if constexpr (share_a_name<First, Second>()) return registered_under_one_name<First, Second>::done;
  return true;
}
template <class First, class Second>
constexpr auto differ_in_stored_names() -> bool {
  if constexpr (share_a_stored_name<First, Second>()) return stored_under_one_name<First, Second>::done;
  return true;
}

/// Whether none of the types is stored under a name that is the runtime's.
template <class... Ts>
constexpr auto no_name_is_reserved(events<Ts...> = {}) -> bool {
  bool free = true;
  [[maybe_unused]] const auto look = [&](std::string_view name) {
    free = free && !name.starts_with(reserved_type_mark);
  };
  (for_each_stored_name<Ts>(look), ...);
  return free;
}

template <class List>
inline constexpr bool names_differ = true;
template <template <class...> class List, class First, class... Rest>
inline constexpr bool names_differ<List<First, Rest...>> =
    (differ_in_name<First, Rest>() && ...) && names_differ<List<Rest...>>;
template <class List>
inline constexpr bool stored_names_differ = true;
template <class First, class... Rest>
inline constexpr bool stored_names_differ<events<First, Rest...>> =
    (differ_in_stored_names<First, Rest>() && ...) && stored_names_differ<events<Rest...>>;

template <class Projection, class Event>
concept projects_with_row = requires(transaction& tx, const Event& value, const maestro::event& row) {
  Projection::project(tx, value, row);
};
template <class Projection, class Event>
concept projects_plainly = requires(transaction& tx, const Event& value) { Projection::project(tx, value); };
template <class Projection, class Event>
concept projects = projects_with_row<Projection, Event> || projects_plainly<Projection, Event>;

// --- checks ---------------------------------------------------------------------------------------------------------------
// One struct for each thing that an author declares, so that the compiler's message names it: "In instantiation of 'struct
// command_check<account, withdraw>'".

template <class Aggregate, class Command>
inline constexpr bool evaluates = evaluates_with_context<Aggregate, typename Aggregate::state, Command> ||
                                  evaluates_plainly<Aggregate, typename Aggregate::state, Command>;

template <class Aggregate, class Command>
constexpr auto emits_listed() -> bool {
  if constexpr (evaluates<Aggregate, Command>) {
    using answer = decltype(call_eval<Aggregate>(std::declval<const typename Aggregate::state&>(),
                                                 std::declval<const Command&>(), std::declval<const context&>()));
    return emits_only<answer, typename Aggregate::events>::value;
  } else {
    return true;  // What is wrong was said already.
  }
}

template <class Aggregate, class Command>
struct command_check {
  static_assert(
      !is_versioned<Command>,
      "maestro: cereal's class versions are not supported: give new members optional_member, and an event whose "
      "meaning changed a new name");
  static_assert(serializable<Command>,
                "maestro: a command needs a default constructor, a copy constructor and a serialize member, or what "
                "else cereal takes");
  static_assert(evaluates<Aggregate, Command>,
                "maestro: a listed command needs `static auto eval(const State&, const Command&)`, public, with or without a "
                "third parameter `const maestro::context&`");
  static_assert(emits_listed<Aggregate, Command>(),
                "maestro: this command's eval returns something other than the aggregate's listed `events` (one, or several in "
                "an optional, vector, variant, tuple or maestro::emits), maestro::nothing, or a maestro::result of those");
  static constexpr bool done = true;
};

template <class Aggregate, class Event>
struct event_check {
  static_assert(
      !is_versioned<Event>,
      "maestro: cereal's class versions are not supported: give new members optional_member, and an event whose "
      "meaning changed a new name");
  static_assert(serializable<Event>,
                "maestro: an event needs a default constructor, a copy constructor and a serialize member, or what "
                "else cereal takes");
  static_assert(applies<Aggregate, typename Aggregate::state, Event>,
                "maestro: a listed event needs `static void apply(State&, const Event&)`, public");
  static_assert(registered_name<Event>().size() <= 256, "maestro: an event's registered name has at most 256 characters");
  static constexpr bool done = true;
};

template <class Aggregate, class Old>
concept upcasts_with_row = requires(const Old& old, const event& row) { Aggregate::upcast(old, row); };
template <class Aggregate, class Old>
concept upcasts_plainly = requires(const Old& old) { Aggregate::upcast(old); };

template <class Aggregate, class Old>
auto call_upcast(const Old& old, const event& row) {
  if constexpr (upcasts_with_row<Aggregate, Old>) return Aggregate::upcast(old, row);
  else return Aggregate::upcast(old);
}

template <class T>
inline constexpr bool is_stored_json = false;
template <literal_name Name>
inline constexpr bool is_stored_json<stored_json<Name>> = true;

template <class Events, class Former>
struct all_forms;
template <class... Es, class... Fs>
struct all_forms<events<Es...>, former_events<Fs...>> {
  using type = events<Es..., Fs...>;
};
/// The events of `Aggregate`, and the forms they had.
template <class Aggregate>
using stored_events = typename all_forms<typename Aggregate::events, typename Aggregate::former_events>::type;

template <class Aggregate, class Old>
constexpr auto upcasts_to_listed() -> bool {
  if constexpr (upcasts_with_row<Aggregate, Old> || upcasts_plainly<Aggregate, Old>) {
    using answer = decltype(call_upcast<Aggregate>(std::declval<const Old&>(), std::declval<const event&>()));
    return emits_only<answer, stored_events<Aggregate>>::value;
  } else {
    return true;  // What is wrong was said already.
  }
}

/// Whether a value of type `R`, returned by an `upcast`, can hold a `T`.
template <class R, class T>
inline constexpr bool can_hold = std::is_same_v<R, T>;
template <class R, class T>
inline constexpr bool can_hold<result<R>, T> = can_hold<R, T>;
template <class R, class T>
inline constexpr bool can_hold<std::optional<R>, T> = can_hold<R, T>;
template <class R, class T>
inline constexpr bool can_hold<std::vector<R>, T> = can_hold<R, T>;
template <class... Rs, class T>
inline constexpr bool can_hold<std::variant<Rs...>, T> = (can_hold<Rs, T> || ...);
template <class... Rs, class T>
inline constexpr bool can_hold<std::tuple<Rs...>, T> = (can_hold<Rs, T> || ...);
template <class... Rs, class T>
inline constexpr bool can_hold<emits<Rs...>, T> = (can_hold<Rs, T> || ...);

template <class Aggregate, class Old, class Next>
constexpr auto upcasts_to() -> bool {
  if constexpr (upcasts_with_row<Aggregate, Old> || upcasts_plainly<Aggregate, Old>)
    return can_hold<decltype(call_upcast<Aggregate>(std::declval<const Old&>(), std::declval<const event&>())), Next>;
  else
    return false;
}

// The forms that an event goes through, one after another: the newest first, so that the compiler names them all.
template <class Aggregate, class Newest, class... Older>
struct upcast_chain {
  static constexpr bool is_circle = (std::is_same_v<Newest, Older> || ...);
  static_assert(
      !is_circle,
      "maestro: upcasts lead back to a form that they began with, and would never end: of these former events "
      "one has to become a listed event");
  template <class... Fs>
  static constexpr auto goes_on(former_events<Fs...>) -> bool {
    return (step<Fs>() && ...);
  }
  template <class Next>
  static constexpr auto step() -> bool {
    if constexpr (!is_circle && upcasts_to<Aggregate, Newest, Next>())
      return upcast_chain<Aggregate, Next, Newest, Older...>::done;
    else
      return true;
  }
  static constexpr bool done = goes_on(typename Aggregate::former_events{});
};

template <class Aggregate, class Old>
struct former_event_check {
  static_assert(
      !is_versioned<Old>,
      "maestro: cereal's class versions are not supported: give new members optional_member, and an event whose "
      "meaning changed a new name");
  static_assert(is_stored_json<Old> || serializable<Old>,
                "maestro: an event's former form needs a default constructor, a copy constructor and a serialize "
                "member, or what else cereal takes");
  static_assert(upcasts_with_row<Aggregate, Old> || upcasts_plainly<Aggregate, Old>,
                "maestro: a listed former event needs `static auto upcast(const FormerEvent&)`, public, with or without a second "
                "parameter `const maestro::event&`");
  static_assert(upcasts_to_listed<Aggregate, Old>(),
                "maestro: this former event's upcast returns something other than the aggregate's listed `events` or "
                "`former_events` (one, or several in an optional, vector, variant, tuple or maestro::emits)");
  static constexpr bool done = upcast_chain<Aggregate, Old>::done;
};

template <class Aggregate, class Call>
concept answers = requires(const typename Aggregate::state& state, const Call& query) { Aggregate::call(state, query); };

template <class Aggregate, class Call>
struct call_check {
  static_assert(
      !is_versioned<Call>,
      "maestro: cereal's class versions are not supported: give new members optional_member, and an event whose "
      "meaning changed a new name");
  static_assert(serializable<Call>,
                "maestro: a call needs a default constructor, a copy constructor and a serialize member, or what else "
                "cereal takes");
  static_assert(answers<Aggregate, Call>,
                "maestro: a listed call needs `static auto call(const State&, const Call&)`, public");
  static constexpr bool done = true;
};

// A `project` that takes its event, or the row, by a reference that is not const would never be called.
template <class Projection, class Event>
inline constexpr bool projects_only_mutable =
    !projects<Projection, Event> &&
    (requires(transaction& tx, Event& value, maestro::event& row) { Projection::project(tx, value, row); } ||
     requires(transaction& tx, Event& value) { Projection::project(tx, value); });

template <class Projection, class List>
struct projection_check;
template <class Projection, class... Events>
struct projection_check<Projection, events<Events...>> {
  static_assert((!projects_only_mutable<Projection, Events> && ...),
                "maestro: a projection's project takes `const Event&`, and the row as `const maestro::event&`");
  static_assert((projects<Projection, Events> || ...),
                "maestro: a listed projection has no `static void project(maestro::transaction&, const Event&)` (or with a third "
                "parameter `const maestro::event&`) for any of the aggregate's events");
  static constexpr bool done = true;
};

template <class Aggregate, class... Cs>
constexpr auto check_all(commands<Cs...>) -> bool {
  return (command_check<Aggregate, Cs>::done && ...);
}
template <class Aggregate, class... Es>
constexpr auto check_all(events<Es...>) -> bool {
  return (event_check<Aggregate, Es>::done && ...);
}
template <class Aggregate, class... Fs>
constexpr auto check_all(former_events<Fs...>) -> bool {
  return (former_event_check<Aggregate, Fs>::done && ...);
}
template <class Aggregate, class... Qs>
constexpr auto check_all(calls<Qs...>) -> bool {
  return (call_check<Aggregate, Qs>::done && ...);
}
template <class Aggregate, class... Ps>
constexpr auto check_all(projections<Ps...>) -> bool {
  return (projection_check<Ps, typename Aggregate::events>::done && ...);
}

template <class Aggregate>
concept places_itself = requires(const aggregate_id& id, std::span<const std::string> members) {
  { Aggregate::place(id, members) } -> std::convertible_to<std::size_t>;
};

template <class Aggregate>
struct aggregate_check {
  using state = typename Aggregate::state;
  static_assert(
      !is_versioned<state>,
      "maestro: cereal's class versions are not supported: give new members optional_member, and an event whose "
      "meaning changed a new name");
  static_assert(std::is_base_of_v<aggregate<Aggregate, state>, Aggregate>,
                "maestro: an aggregate derives publicly from maestro::aggregate<itself, its state>");
  static_assert(std::string_view(Aggregate::type).size() > 0 && std::string_view(Aggregate::type).size() <= 256,
                "maestro: an aggregate's `type` has 1 to 256 characters");
  static_assert(serializable<state>,
                "maestro: the state needs a default constructor, a copy constructor and a serialize member, or what "
                "else cereal takes");
  static_assert(names_differ<typename Aggregate::commands> && names_differ<typename Aggregate::calls> &&
                    names_differ<typename Aggregate::projections>,
                "maestro: two commands, two calls or two projections of an aggregate are registered under one name");
  static_assert(stored_names_differ<stored_events<Aggregate>>,
                "maestro: two events, or forms that events had, are stored under one name");
  static_assert(no_name_is_reserved(stored_events<Aggregate>{}),
                "maestro: the name of an event begins with $: such names are the runtime's");
  static_assert(Aggregate::lifecycle.snapshot_every >= 0 && Aggregate::lifecycle.idle_timeout.count() >= 0,
                "maestro: the members of `lifecycle` are not negative");
  static constexpr bool done =
      check_all<Aggregate>(typename Aggregate::events{}) && check_all<Aggregate>(typename Aggregate::former_events{}) && check_all<Aggregate>(typename Aggregate::commands{}) &&
      check_all<Aggregate>(typename Aggregate::calls{}) && check_all<Aggregate>(typename Aggregate::projections{});
};

/// Takes apart whatever form `eval` or `upcast` answered in, and hands each event to `Each`, until there is an error.
template <class Each>
class emission {
 public:
  explicit emission(Each& each) : each_(each) {}

  template <class Event>
  void add(Event&& event) {
    if (failure_) return;
    if (result<void> taken = each_(std::forward<Event>(event)); !taken) failure_ = std::move(taken).failure();
  }
  void add(nothing_t) {}
  void add(error failure) {
    if (!failure_) failure_ = std::move(failure);
  }
  template <class R>
  void add(result<R> given) {
    if (given) add(std::move(*given));
    else add(std::move(given).failure());
  }
  void add(result<void> given) {
    if (!given) add(std::move(given).failure());
  }
  template <class R>
  void add(std::optional<R> given) {
    if (given) add(std::move(*given));
  }
  template <class R>
  void add(std::vector<R> given) {
    for (auto& each : given) add(std::move(each));
  }
  template <class... Rs>
  void add(std::variant<Rs...> given) {
    std::visit([this](auto&& each) { this->add(std::move(each)); }, std::move(given));
  }
  template <class... Rs>
  void add(std::tuple<Rs...> given) {
    std::apply([this](auto&&... each) { (this->add(std::move(each)), ...); }, std::move(given));
  }
  template <class... Rs>
  void add(emits<Rs...> given) {
    for (auto& each : given.list()) add(std::move(each));
  }

  /// The first error that there was.
  [[nodiscard]] auto outcome() && -> result<void> {
    if (failure_) return std::move(failure_);
    return {};
  }

 private:
  Each& each_;
  error failure_;
};

/// Hands each event that `answer` holds to `each`, which returns a `result<void>`.
template <class Answer, class Each>
auto for_each_emitted(Answer answer, Each&& each) -> result<void> {
  emission<Each> parts(each);
  parts.add(std::move(answer));
  return std::move(parts).outcome();
}

/// Encodes and collects events. Stops at the first that cannot be stored, or that is beyond `bounds`.
class event_collector {
 public:
  explicit event_collector(const event_bounds& bounds) : bounds_(bounds) {}

  template <class Event>
  auto operator()(Event&& event) -> result<void> {
    using plain = std::remove_cvref_t<Event>;
    if (list_.size() >= bounds_.events) return too_many_events(bounds_, bytes_);
    auto body = encode_noting(event);
    if (!body) return failure_of(errc::invalid_event, "event", registered_name<plain>(), body.failure());
    bytes_ += body->text.size() + bounds_.metadata_bytes;
    if (bytes_ > bounds_.bytes) return too_many_events(bounds_, bytes_);
    std::shared_ptr<const void> value;
    if (body->lost_a_sign) {
      // It is applied now as others will read it.
      auto again = decode<plain>(body->text);
      if (!again) return failure_of(errc::invalid_event, "event", registered_name<plain>(), again.failure());
      value = std::make_shared<plain>(std::move(*again));
    } else {
      value = std::make_shared<plain>(std::forward<Event>(event));
    }
    list_.push_back({registered_name<plain>(), std::move(body->text), std::move(value)});
    return {};
  }
  [[nodiscard]] auto take() && -> std::vector<emitted_event> { return std::move(list_); }

 private:
  const event_bounds bounds_;
  std::size_t bytes_ = 0;
  std::vector<emitted_event> list_;
};

/// Runs `body`, which returns a `result`, turning an exception into an error with `code`.
template <class Body>
auto guarded(errc code, std::string_view what, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return thrown(code, what);
  }
}

/// Finds the type of `List` that is registered as `name` and calls `found.operator()<T>(index)`; true when there is one.
template <template <class...> class List, class... Ts, class Found>
auto with_named(List<Ts...>, [[maybe_unused]] std::string_view name, [[maybe_unused]] Found&& found) -> bool {
  [[maybe_unused]] std::size_t index = 0;
  return ((registered_name<Ts>() == name ? (found.template operator()<Ts>(index), true) : (++index, false)) || ...);
}

template <class T>
auto decode_stored(std::string_view body) -> result<T> {
  if constexpr (!is_stored_json<T>) return decode<T>(body, json_limits::of_stored());
  else return T{std::string(body)};
}

/// Hands `value` to `each`, or, when it is of an old form, what has become of it.
template <class Aggregate, class Stored, class Each>
auto bring_up_to_date(const Stored& value, const event& row, Each& each) -> result<void> {
  if constexpr (is_listed<Stored, typename Aggregate::events>) {
    each(value);
    return {};
  } else {
    return for_each_emitted(call_upcast<Aggregate>(value, row), [&](const auto& newer) -> result<void> {
      return bring_up_to_date<Aggregate>(newer, row, each);
    });
  }
}

/// All names that the log may know the events of a list by.
template <class... Ts>
auto stored_names_of(events<Ts...>) -> std::vector<std::string_view> {
  std::vector<std::string_view> names;
  (for_each_stored_name<Ts>([&](std::string_view name) { names.push_back(name); }), ...);
  return names;
}

/// Hands each event that `row` stands for today to `each`; there is none in a rejection that was recorded. What `each`
/// or an upcast throws goes through. Errors: `cannot_hydrate`.
template <class Aggregate, class Each>
auto for_each_event(const event& row, Each&& each) -> result<void> {
  if (row.value) {
    with_named(typename Aggregate::events{}, row.type,
               [&]<class Event>(std::size_t) { each(*static_cast<const Event*>(row.value.get())); });
    return {};
  }
  result<void> answer;
  const auto read_as = [&]<class Stored> {
    auto value = decode_stored<Stored>(row.body);
    if (value) answer = bring_up_to_date<Aggregate>(*value, row, each);
    else answer = error{errc::cannot_hydrate, value.failure().message};
    return true;
  };
  const bool known = [&]<class... Ts>(events<Ts...>) {
    return ((is_stored_as<Ts>(row.type) && read_as.template operator()<Ts>()) || ...);
  }(stored_events<Aggregate>{});
  if (!known && row.type != recorded_rejection_type)
    return unknown_name(errc::cannot_hydrate, Aggregate::type, "event", row.type, names_of<stored_events<Aggregate>>);
  return answer;
}

/// Hands the events of `Aggregate` to those of its projections that `List` names.
template <class Aggregate, class List>
class bound_projector final : public projector {
 public:
  void project(transaction& tx, const event& row) const override {
    const auto read = for_each_event<Aggregate>(row, [&](const auto& value) { project_all(tx, value, row, List{}); });
    if (!read) throw std::runtime_error("the event cannot be read: " + read.failure().message);
  }

 private:
  template <class Event, class... Ps>
  static void project_all(transaction& tx, const Event& value, const event& row, projections<Ps...>) {
    (project_one<Ps>(tx, value, row), ...);
  }
  template <class Projection, class Event>
  static void project_one(transaction& tx, const Event& value, const event& row) {
    if constexpr (projects<Projection, Event>) tx.enter_projection(registered_name<Projection>());
    if constexpr (projects_with_row<Projection, Event>) Projection::project(tx, value, row);
    else if constexpr (projects_plainly<Projection, Event>) Projection::project(tx, value);
  }
};

template <class Aggregate>
class bound_definition final : public definition {
  using state_type = typename Aggregate::state;
  using command_list = typename Aggregate::commands;
  using event_list = typename Aggregate::events;
  using call_list = typename Aggregate::calls;
  using projection_list = typename Aggregate::projections;
  using snapshot_type = std::remove_cvref_t<decltype(Aggregate::prepare_snapshot(std::declval<const state_type&>()))>;

  static_assert(serializable<snapshot_type>, "maestro: what prepare_snapshot returns must be serializable");

 public:
  bound_definition() {
    if constexpr (!std::is_same_v<projection_list, maestro::projections<>>)
      projector_ = std::make_shared<bound_projector<Aggregate, projection_list>>();
  }

  auto type() const -> std::string_view override { return Aggregate::type; }
  auto class_name() const -> std::string_view override { return qualified_name<Aggregate>(); }
  auto names() const -> served_names override {
    const auto& of_commands = names_of<command_list>;
    const auto& of_calls = names_of<call_list>;
    return {{of_commands.begin(), of_commands.end()},
            stored_names_of(stored_events<Aggregate>{}),
            {of_calls.begin(), of_calls.end()}};
  }
  auto snapshot_version() const -> int override { return Aggregate::snapshot_version; }
  auto lifecycle() const -> const lifecycle_policy& override { return Aggregate::lifecycle; }
  auto place(const aggregate_id& id, const placement& members) const -> std::size_t override {
    if constexpr (detail::places_itself<Aggregate>) {
      // Whatever a faulty one answers, somebody owns it.
      try {
        return Aggregate::place(id, std::span<const std::string>(members.names())) % members.names().size();
      } catch (...) {
      }
    }
    return members.owner(placement_key(Aggregate::type, id));
  }

  auto initial_state() const -> result<state_ptr> override {
    return guarded(errc::internal_error, "initial_state", []() -> result<state_ptr> {
      return state_ptr(std::make_shared<state_type>(Aggregate::initial_state()));
    });
  }
  auto clone(const state_ptr& state) const -> result<state_ptr> override {
    return guarded(errc::internal_error, "the state's copy constructor",
                   [&]() -> result<state_ptr> { return state_ptr(std::make_shared<state_type>(get(state))); });
  }
  auto encode_state(const state_ptr& state) const -> result<std::string> override {
    // A state is no row: it may be larger than what is stored, and hold what old events say.
    return encode(get(state), json_limits{64 * 1024 * 1024, 64, true, false});
  }

  auto decode_command(std::string_view name, std::string_view payload) const -> result<decoded_command> override {
    result<decoded_command> answer = decoded_command{};
    const bool known = with_named(command_list{}, name, [&]<class Command>(std::size_t index) {
      auto command = decode<Command>(payload);
      if (command) answer = decoded_command{index, std::make_shared<Command>(std::move(*command))};
      else answer = failure_of(errc::malformed_payload, "command", name, command.failure());
    });
    if (!known) return unknown_name(errc::unknown_command, type(), "command", name, names_of<command_list>);
    return answer;
  }

  auto eval(const state_ptr& state, const decoded_command& command, const context& with,
            const event_bounds& bounds) const -> result<std::vector<emitted_event>> override {
    return guarded(errc::program_failed, "eval",
                   [&] { return eval_indexed(state, command, with, bounds, command_list{}); });
  }

  auto apply(const state_ptr& state, std::string_view name, const void* event) const -> result<void> override {
    return guarded(errc::program_failed, "apply", [&]() -> result<void> {
      with_named(event_list{}, name, [&]<class Event>(std::size_t) {
        Aggregate::apply(get(state), *static_cast<const Event*>(event));
      });
      return {};
    });
  }
  auto enter(const state_ptr& state, const event& row) const -> result<void> override {
    return guarded(errc::program_failed, "apply, or an upcast,", [&] {
      return for_each_event<Aggregate>(row, [&](const auto& value) { Aggregate::apply(get(state), value); });
    });
  }

  auto prepare_snapshot(const state_ptr& state) const -> result<std::string> override {
    return guarded(errc::internal_error, "prepare_snapshot",
                   [&] { return encode(Aggregate::prepare_snapshot(get(state)), of_snapshots); });
  }
  auto use_snapshot(std::string_view body) const -> result<state_ptr> override {
    return guarded(errc::cannot_hydrate, "use_snapshot", [&]() -> result<state_ptr> {
      auto snapshot = decode<snapshot_type>(body, json_limits::of_stored());
      if (!snapshot) return snapshot.failure();
      return state_ptr(std::make_shared<state_type>(Aggregate::use_snapshot(*snapshot)));
    });
  }

  auto call(const state_ptr& state, std::string_view name, std::string_view payload) const
      -> result<std::string> override {
    result<std::string> answer{std::string()};
    const bool known = with_named(call_list{}, name, [&]<class Call>(std::size_t) {
      answer = guarded(errc::program_failed, "call", [&]() -> result<std::string> {
        auto query = decode<Call>(payload);
        if (!query) return failure_of(errc::malformed_payload, "call", name, query.failure());
        return answer_call<Aggregate>(state, *query);
      });
    });
    if (!known) return unknown_name(errc::unknown_call, type(), "call", name, names_of<call_list>);
    return answer;
  }

  auto projector() const -> const std::shared_ptr<const maestro::projector>& override { return projector_; }
  auto projections() const -> std::vector<projection_definition> override { return each_alone(projection_list{}); }

 private:
  // A state may hold values of enums that old events say, and so may what is made of it. How large a snapshot may be is
  // for the aggregate to judge, which knows the settings.
  static constexpr json_limits of_snapshots{std::numeric_limits<std::size_t>::max(), json_limits{}.depth, true, false};
  static constexpr json_limits of_replies{json_limits{}.bytes, json_limits{}.depth, true, false};

  static auto get(const state_ptr& state) -> state_type& { return *static_cast<state_type*>(state.get()); }

  template <class... Cs>
  static auto eval_indexed(const state_ptr& state, const decoded_command& command, const context& with,
                           const event_bounds& bounds, commands<Cs...>) -> result<std::vector<emitted_event>> {
    event_collector collected(bounds);
    result<void> outcome;
    std::size_t index = 0;
    (void)((index++ == command.index &&
            (outcome = for_each_emitted(call_eval<Aggregate>(std::as_const(get(state)),
                                                             *static_cast<const Cs*>(command.value.get()), with),
                                        collected),
             true)) ||
           ...);
    if (!outcome) return std::move(outcome).failure();
    return std::move(collected).take();
  }

  template <class Owner, class Call>
  static auto answer_call(const state_ptr& state, const Call& query) -> result<std::string> {
    return encode_reply(Owner::call(std::as_const(get(state)), query));
  }
  template <class R>
  static auto encode_reply(const R& reply) -> result<std::string> {
    return encode(reply, of_replies);
  }
  template <class R>
  static auto encode_reply(const result<R>& reply) -> result<std::string> {
    if (!reply) return reply.failure();
    return encode(*reply, of_replies);
  }

  template <class... Ps>
  static auto each_alone(maestro::projections<Ps...>) -> std::vector<projection_definition> {
    return {{std::string(registered_name<Ps>()), std::make_shared<bound_projector<Aggregate, maestro::projections<Ps>>>(),
             schema_of<Ps>(), ordered_between_aggregates<Ps>()}...};
  }
  template <class Projection>
  static auto schema_of() -> std::vector<migration> {
    std::vector<migration> steps;
    if constexpr (requires { Projection::schema(); }) {
      for (schema_step step : Projection::schema()) add_step(steps, registered_name<Projection>(), std::move(step));
    }
    return steps;
  }
  template <class Projection>
  static constexpr auto ordered_between_aggregates() -> bool {
    if constexpr (requires { Projection::ordered_between_aggregates; }) return Projection::ordered_between_aggregates;
    else return false;
  }

  std::shared_ptr<const maestro::projector> projector_;
};

}  // namespace detail

template <class Aggregate>
auto define() -> definition_ptr {
  static_assert(detail::aggregate_check<Aggregate>::done);
  return std::make_shared<detail::bound_definition<Aggregate>>();
}

}  // namespace maestro
