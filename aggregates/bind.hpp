// Binds an author's aggregate class to `definition`. The only place where the author's types meet the runtime, so this is
// also where wrong code is told so, in words.
#pragma once

#include <maestro/aggregates/definition.hpp>

#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace maestro {

namespace detail {

/// The names of a list, for messages: `deposit, open, withdraw`.
template <template <class...> class List, class... Ts>
auto joined_names(List<Ts...>) -> std::string {
  std::string text;
  ((text += text.empty() ? "" : ", ", text += registered_name<Ts>()), ...);
  return text.empty() ? "none" : text;
}

template <class List>
inline constexpr bool names_differ = true;
template <template <class...> class List, class First, class... Rest>
inline constexpr bool names_differ<List<First, Rest...>> =
    ((registered_name<First>() != registered_name<Rest>()) && ...) && names_differ<List<Rest...>>;

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
  static_assert(serializable<Command>,
                "maestro: a command needs a default constructor, a copy constructor and a serialize member");
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
  static_assert(serializable<Event>,
                "maestro: an event needs a default constructor, a copy constructor and a serialize member");
  static_assert(applies<Aggregate, typename Aggregate::state, Event>,
                "maestro: a listed event needs `static void apply(State&, const Event&)`, public");
  static_assert(registered_name<Event>().size() <= 256, "maestro: an event's registered name has at most 256 characters");
  static constexpr bool done = true;
};

template <class Aggregate, class Call>
concept answers = requires(const typename Aggregate::state& state, const Call& query) { Aggregate::call(state, query); };

template <class Aggregate, class Call>
struct call_check {
  static_assert(serializable<Call>, "maestro: a call needs a default constructor, a copy constructor and a serialize member");
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
template <class Aggregate, class... Qs>
constexpr auto check_all(calls<Qs...>) -> bool {
  return (call_check<Aggregate, Qs>::done && ...);
}
template <class Aggregate, class... Ps>
constexpr auto check_all(projections<Ps...>) -> bool {
  return (projection_check<Ps, typename Aggregate::events>::done && ...);
}

template <class Aggregate>
struct aggregate_check {
  using state = typename Aggregate::state;
  static_assert(std::is_base_of_v<aggregate<Aggregate, state>, Aggregate>,
                "maestro: an aggregate derives publicly from maestro::aggregate<itself, its state>");
  static_assert(std::string_view(Aggregate::type).size() > 0 && std::string_view(Aggregate::type).size() <= 256,
                "maestro: an aggregate's `type` has 1 to 256 characters");
  static_assert(serializable<state>,
                "maestro: the state needs a default constructor, a copy constructor and a serialize member");
  static_assert(names_differ<typename Aggregate::commands>, "maestro: two commands are registered under one name");
  static_assert(names_differ<typename Aggregate::events>, "maestro: two events are registered under one name");
  static constexpr bool done =
      check_all<Aggregate>(typename Aggregate::events{}) && check_all<Aggregate>(typename Aggregate::commands{}) &&
      check_all<Aggregate>(typename Aggregate::calls{}) && check_all<Aggregate>(typename Aggregate::projections{});
};

/// Encodes and collects whatever form `eval` answered in. Stops at the first event that cannot be stored.
class event_collector {
 public:
  template <class Event>
  void add(Event&& event) {
    using plain = std::remove_cvref_t<Event>;
    if (failure_) return;
    auto body = encode(event);
    if (!body) {
      failure_ = {errc::invalid_event,
                  "event \"" + std::string(registered_name<plain>()) + "\": " + body.failure().message};
      return;
    }
    list_.push_back({registered_name<plain>(), std::move(*body), std::make_shared<plain>(std::forward<Event>(event))});
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

  [[nodiscard]] auto take() && -> result<std::vector<emitted_event>> {
    if (failure_) return std::move(failure_);
    return std::move(list_);
  }

 private:
  std::vector<emitted_event> list_;
  error failure_;
};

/// Runs `body`, which returns a `result`, turning an exception into an error with `code`.
template <class Body>
auto guarded(errc code, std::string_view what, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception& problem) {
    return error{code, std::string(what) + " threw: " + problem.what()};
  } catch (...) {
    return error{code, std::string(what) + " threw something that is no std::exception"};
  }
}

/// Finds the type of `List` that is registered as `name` and calls `found.operator()<T>(index)`; true when there is one.
template <template <class...> class List, class... Ts, class Found>
auto with_named(List<Ts...>, [[maybe_unused]] std::string_view name, [[maybe_unused]] Found&& found) -> bool {
  [[maybe_unused]] std::size_t index = 0;
  return ((registered_name<Ts>() == name ? (found.template operator()<Ts>(index), true) : (++index, false)) || ...);
}

/// Hands the events of `Aggregate` to those of its projections that `List` names.
template <class Aggregate, class List>
class bound_projector final : public projector {
 public:
  void project(transaction& tx, const event& row) const override {
    with_named(typename Aggregate::events{}, row.type,
               [&]<class Event>(std::size_t) { project_all<Event>(tx, row, List{}); });
  }

 private:
  template <class Event, class... Ps>
  static void project_all(transaction& tx, const event& row, projections<Ps...>) {
    if constexpr ((projects<Ps, Event> || ...)) {
      if (row.value) return (project_one<Ps>(tx, *static_cast<const Event*>(row.value.get()), row), ...);
      auto decoded = decode<Event>(row.body);
      if (!decoded) throw std::runtime_error("the event's body cannot be read: " + decoded.failure().message);
      (project_one<Ps>(tx, *decoded, row), ...);
    }
  }
  template <class Projection, class Event>
  static void project_one(transaction& tx, const Event& value, const event& row) {
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
  auto snapshot_version() const -> int override { return Aggregate::snapshot_version; }

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
    // A state is no row: it may be larger than what is stored.
    return encode(get(state), json_limits{64 * 1024 * 1024, 64});
  }

  auto decode_command(std::string_view name, std::string_view payload) const -> result<decoded_command> override {
    result<decoded_command> answer =
        error{errc::unknown_command, "aggregate type \"" + std::string(type()) + "\" has no command \"" +
                                         std::string(name) + "\"; it has: " + joined_names(command_list{})};
    with_named(command_list{}, name, [&]<class Command>(std::size_t index) {
      auto command = decode<Command>(payload);
      if (command) answer = decoded_command{index, std::make_shared<Command>(std::move(*command))};
      else answer = error{errc::malformed_payload, "command \"" + std::string(name) + "\": " + command.failure().message};
    });
    return answer;
  }

  auto eval(const state_ptr& state, const decoded_command& command, const context& with) const
      -> result<std::vector<emitted_event>> override {
    return guarded(errc::eval_failed, "eval", [&] { return eval_indexed(state, command, with, command_list{}); });
  }

  auto decode_event(std::string_view name, std::string_view body) const
      -> result<std::shared_ptr<const void>> override {
    result<std::shared_ptr<const void>> answer =
        error{errc::cannot_hydrate, "aggregate type \"" + std::string(type()) + "\" knows no event \"" +
                                        std::string(name) + "\"; it knows: " + joined_names(event_list{})};
    with_named(event_list{}, name, [&]<class Event>(std::size_t) {
      auto event = decode<Event>(body);
      if (event) answer = std::shared_ptr<const void>(std::make_shared<Event>(std::move(*event)));
      else answer = error{errc::cannot_hydrate, "event \"" + std::string(name) + "\": " + event.failure().message};
    });
    return answer;
  }

  auto apply(const state_ptr& state, std::string_view name, const void* event) const -> result<void> override {
    return guarded(errc::apply_failed, "apply", [&]() -> result<void> {
      with_named(event_list{}, name, [&]<class Event>(std::size_t) {
        Aggregate::apply(get(state), *static_cast<const Event*>(event));
      });
      return {};
    });
  }

  auto prepare_snapshot(const state_ptr& state) const -> result<std::string> override {
    return guarded(errc::internal_error, "prepare_snapshot",
                   [&] { return encode(Aggregate::prepare_snapshot(get(state))); });
  }
  auto use_snapshot(std::string_view body) const -> result<state_ptr> override {
    return guarded(errc::cannot_hydrate, "use_snapshot", [&]() -> result<state_ptr> {
      auto snapshot = decode<snapshot_type>(body);
      if (!snapshot) return snapshot.failure();
      return state_ptr(std::make_shared<state_type>(Aggregate::use_snapshot(*snapshot)));
    });
  }

  auto call(const state_ptr& state, std::string_view name, std::string_view payload) const
      -> result<std::string> override {
    result<std::string> answer =
        error{errc::unknown_call, "aggregate type \"" + std::string(type()) + "\" has no call \"" + std::string(name) +
                                      "\"; it has: " + joined_names(call_list{})};
    with_named(call_list{}, name, [&]<class Call>(std::size_t) {
      answer = guarded(errc::eval_failed, "call", [&]() -> result<std::string> {
        auto query = decode<Call>(payload);
        if (!query)
          return error{errc::malformed_payload, "call \"" + std::string(name) + "\": " + query.failure().message};
        return answer_call<Aggregate>(state, *query);
      });
    });
    return answer;
  }

  auto projector() const -> const std::shared_ptr<const maestro::projector>& override { return projector_; }
  auto projections() const -> std::vector<projection_definition> override { return each_alone(projection_list{}); }

 private:
  static auto get(const state_ptr& state) -> state_type& { return *static_cast<state_type*>(state.get()); }

  template <class... Cs>
  static auto eval_indexed(const state_ptr& state, const decoded_command& command, const context& with, commands<Cs...>)
      -> result<std::vector<emitted_event>> {
    event_collector collected;
    std::size_t index = 0;
    (void)((index++ == command.index &&
            (collected.add(call_eval<Aggregate>(std::as_const(get(state)),
                                                *static_cast<const Cs*>(command.value.get()), with)),
             true)) ||
           ...);
    return std::move(collected).take();
  }

  template <class Owner, class Call>
  static auto answer_call(const state_ptr& state, const Call& query) -> result<std::string> {
    return encode_reply(Owner::call(std::as_const(get(state)), query));
  }
  template <class R>
  static auto encode_reply(const R& reply) -> result<std::string> {
    return encode(reply);
  }
  template <class R>
  static auto encode_reply(const result<R>& reply) -> result<std::string> {
    if (!reply) return reply.failure();
    return encode(*reply);
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
      int number = 0;
      for (schema_step step : Projection::schema())
        steps.push_back({std::string(registered_name<Projection>()), ++number, std::move(step.postgres),
                         std::move(step.sqlite)});
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

/// The definition of `Aggregate`, for registration with a node.
template <class Aggregate>
[[nodiscard]] auto define() -> definition_ptr {
  static_assert(detail::aggregate_check<Aggregate>::done);
  return std::make_shared<detail::bound_definition<Aggregate>>();
}

}  // namespace maestro
