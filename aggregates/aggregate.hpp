// What a domain author includes: an aggregate is a class that lists its commands, events and projections and says how
// they work. Everything is static and pure; the runtime owns the state. See README.md for a whole one.
#pragma once

#include <maestro/aggregates/names.hpp>
#include <maestro/store/clock.hpp>
#include <maestro/store/codec.hpp>
#include <maestro/store/error.hpp>
#include <maestro/store/event.hpp>
#include <maestro/store/projection.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace maestro {

/// The commands an aggregate takes.
template <class... Ts>
struct commands {};

/// The events an aggregate records.
template <class... Ts>
struct events {};

/// The forms that events had before and the log still holds. Each is a struct under the name that it was recorded by, or a
/// `stored_json`; the aggregate says `static auto upcast(const Old&) -> R`, or `upcast(const Old&, const maestro::event& row)`, where
/// `R` holds one event, several or none, in any of the forms that `eval` may return. What it returns may be an old form itself.
/// An upcast is pure, and works for as long as the log keeps such rows. All events that it makes of a row have the row's sequence.
template <class... Ts>
struct former_events {};

/// A name as a template argument: `stored_json<"deposit_made">`.
template <std::size_t Size>
struct literal_name {
  char text[Size];
  consteval literal_name(const char (&given)[Size]) { std::copy_n(given, Size, text); }
};

/// An old form that nobody wants to keep a struct for: the JSON object itself.
template <literal_name Name>
struct stored_json {
  static constexpr std::string_view registered_name{Name.text, sizeof(Name.text) - 1};
  std::string body;
};

/// How an aggregate type's members live; each aggregate may say `static constexpr maestro::lifecycle_policy lifecycle{...}`.
struct lifecycle_policy {
  /// After a commit, a snapshot is stored when so many events follow the newest one; 0: never. It goes behind the commit, and
  /// nobody waits for it.
  sequence_number snapshot_every = 0;
  /// When the aggregate leaves memory a snapshot is stored, unless there is one of its newest event.
  bool snapshot_on_passivation = false;
  /// How long it stays in memory without being asked for anything; 0: as long as `maestro.aggregate.idle-timeout` says.
  std::chrono::milliseconds idle_timeout{0};
};

/// The classes that keep rows in the commit's transaction.
template <class... Ts>
struct projections {};

/// Messages of the aggregate's own, answered from its committed state without recording anything.
template <class... Ts>
struct calls {};

/// What `eval` returns for a command that needs no event: `return maestro::nothing;`
struct nothing_t {};
inline constexpr nothing_t nothing{};

/// Several events of different types, in order: `maestro::result<maestro::emits<opened, deposited>>` lets `eval` return one
/// of them, `maestro::emits<opened, deposited>{opened{}, deposited{5}}`, or `maestro::nothing`.
template <class... Events>
class emits {
 public:
  using event_variant = std::variant<Events...>;

  emits() = default;
  emits(nothing_t) {}
  template <class... Given>
    requires(sizeof...(Given) > 0 && (std::is_constructible_v<event_variant, Given> && ...))
  emits(Given&&... given) {
    list_.reserve(sizeof...(Given));
    (list_.emplace_back(std::forward<Given>(given)), ...);
  }

  template <class Event>
  void add(Event event) {
    list_.emplace_back(std::move(event));
  }
  [[nodiscard]] auto list() const noexcept -> const std::vector<event_variant>& { return list_; }
  [[nodiscard]] auto list() noexcept -> std::vector<event_variant>& { return list_; }

 private:
  std::vector<event_variant> list_;
};

/// What `eval` may know beyond state and command. The same for every repetition of one attempt's evaluation.
struct context {
  maestro::aggregate_id aggregate_id;
  sequence_number sequence = 0;                ///< Of the state: 0 = nothing yet.
  std::chrono::system_clock::time_point time;  ///< When the node took this attempt up.
  maestro::command_id command_id;
  std::string_view metadata;                   ///< The caller's JSON object; empty for none.
  std::string_view correlation_id = {};        ///< Of the conversation that the command belongs to; empty for none.
  std::string_view causation_id = {};          ///< Of what made the caller send it; empty for none.
};

/// SQL that the two stores spell differently, by name: two texts side by side would look like two steps.
struct per_store {
  std::string sqlite;
  std::string postgres;
};

/// One step of a projection's schema: SQL that both stores understand, or `maestro::per_store{.sqlite = ..., .postgres = ...}`.
/// Steps are applied once, in order; append, never edit.
struct schema_step {
  std::string sqlite;
  std::string postgres;
  schema_step(std::string both) : sqlite(both), postgres(std::move(both)) {}
  schema_step(const char* both) : schema_step(std::string(both)) {}
  schema_step(per_store each) : sqlite(std::move(each.sqlite)), postgres(std::move(each.postgres)) {}
};

/// An aggregate id that knows its type, so that `client.send(id, deposit{5})` needs no more words.
template <class Aggregate>
struct typed_id {
  maestro::aggregate_id value;

  typed_id() = default;
  explicit typed_id(const maestro::aggregate_id& id) : value(id) {}

  /// The aggregate of this type known by `name` (see `derive_aggregate_id`).
  [[nodiscard]] static auto named(std::string_view name) -> typed_id {
    return typed_id(derive_aggregate_id(Aggregate::type, name));
  }
  /// A new id.
  [[nodiscard]] static auto fresh(hybrid_clock& clock) -> typed_id {
    return typed_id(clock.fresh<maestro::aggregate_id>());
  }
  [[nodiscard]] auto text() const -> std::string { return value.text(); }
  operator const maestro::aggregate_id&() const noexcept { return value; }
  friend auto operator<=>(const typed_id&, const typed_id&) = default;
};

namespace detail {

template <class T, class List>
inline constexpr bool is_listed = false;
template <class T, template <class...> class List, class... Ts>
inline constexpr bool is_listed<T, List<Ts...>> = (std::is_same_v<T, Ts> || ...);

/// Whether a value of type `R`, returned by `eval`, can hold nothing but events of the list `Events`.
template <class R, class Events>
struct emits_only : std::bool_constant<is_listed<R, Events>> {};
template <class Events>
struct emits_only<nothing_t, Events> : std::true_type {};
template <class Events>
struct emits_only<error, Events> : std::true_type {};
template <class R, class Events>
struct emits_only<result<R>, Events> : emits_only<R, Events> {};
template <class R, class Events>
struct emits_only<std::optional<R>, Events> : emits_only<R, Events> {};
template <class R, class Events>
struct emits_only<std::vector<R>, Events> : emits_only<R, Events> {};
template <class... Rs, class Events>
struct emits_only<std::variant<Rs...>, Events> : std::conjunction<emits_only<Rs, Events>...> {};
template <class... Rs, class Events>
struct emits_only<std::tuple<Rs...>, Events> : std::conjunction<emits_only<Rs, Events>...> {};
template <class... Rs, class Events>
struct emits_only<emits<Rs...>, Events> : std::conjunction<emits_only<Rs, Events>...> {};

template <class Aggregate, class State, class Command>
concept evaluates_with_context = requires(const State& state, const Command& command, const context& with) {
  Aggregate::eval(state, command, with);
};
template <class Aggregate, class State, class Command>
concept evaluates_plainly = requires(const State& state, const Command& command) { Aggregate::eval(state, command); };

template <class Aggregate, class State, class Command>
auto call_eval(const State& state, const Command& command, const context& with) {
  if constexpr (evaluates_with_context<Aggregate, State, Command>) return Aggregate::eval(state, command, with);
  else return Aggregate::eval(state, command);
}

template <class Aggregate, class State, class Event>
concept applies = requires(State& state, const Event& event) { Aggregate::apply(state, event); };

}  // namespace detail

/// The base of every aggregate class.
///
/// `Derived` declares
///  - `static constexpr std::string_view type`: the registered name, persisted;
///  - `using commands = maestro::commands<...>`, and for each command `C`
///    `static auto eval(const State&, const C&) -> R` or `eval(const State&, const C&, const maestro::context&) -> R`,
///    where `R` is one of the events, or `std::optional`, `std::vector`, `std::variant`, `std::tuple` or `maestro::emits` of
///    them, or `maestro::nothing_t`, plain or in a `maestro::result`, which can also carry `maestro::reject("reason")`,
///    and `maestro::reject("reason").recorded()`, which is final (error.hpp);
///  - `using events = maestro::events<...>`, and for each event `E` `static void apply(State&, const E&)`;
///  - optionally `using projections = maestro::projections<...>` (see below) and `using calls = maestro::calls<...>`, and for
///    each call `Q` `static auto call(const State&, const Q&) -> R`, `R` a serializable struct, plain or in a `result`.
///
/// `eval` is pure: it may run several times for one command, and only events change the state. `apply` runs before the
/// events are committed, and again whenever the aggregate is hydrated. Both run on the aggregate's actor; an exception from
/// either is a fault of the program (`program_failed`), which the caller and the node's log are told: the command changes nothing. So is
/// a projection that fails otherwise than by a constraint of its table.
///
/// A projection is a class with `static void project(maestro::transaction&, const E&, const maestro::event&)` for the
/// events it cares for, `static constexpr std::string_view registered_name` if the class's own name is not to be persisted,
/// and optionally `static auto schema() -> std::vector<maestro::schema_step>` for its tables. It runs on the store's thread.
/// One whose rows depend on which of two *aggregates* was first (a rank, a "last of all") says `static constexpr bool
/// ordered_between_aggregates = true`: when it is rebuilt, the events come in the order of their timestamps. All others are rebuilt
/// aggregate by aggregate. On PostgreSQL commands go on meanwhile, and wait for the last step alone; on the embedded store they are told
/// to come back until the rebuild has ended.
///
/// Hooks with defaults that `Derived` may replace: `initial_state`, `prepare_snapshot`, `use_snapshot`, `snapshot_version`,
/// `lifecycle`. And one without a default: `static auto place(const aggregate_id& id, std::span<const std::string> members) ->
/// std::size_t` says on which member of a cluster an aggregate lives, as an index into their names (placement.hpp). It must be pure:
/// every node asks it, and a client, which does not, sends by way of another node what is placed elsewhere.
///
/// As the domain changes: a member that old events lack is read with `optional_member` (codec.hpp), members that nobody reads any
/// more are ignored; an event that was renamed lists its `former_names` (names.hpp); one whose meaning changed takes a new name, and
/// the old struct goes to `using former_events = maestro::former_events<...>`, with an `upcast` (above).
template <class Derived, class State>
class aggregate {
 public:
  using state = State;
  using id = typed_id<Derived>;
  using projections = maestro::projections<>;
  using calls = maestro::calls<>;
  using former_events = maestro::former_events<>;
  static constexpr lifecycle_policy lifecycle{};

  /// The state of an aggregate that has no events. `State` needs a default constructor all the same: stored states are read into one.
  [[nodiscard]] static auto initial_state() -> State { return State{}; }
  /// What a snapshot stores: any serializable type. Default: the state itself.
  [[nodiscard]] static auto prepare_snapshot(const State& state) -> State { return state; }
  /// The state that a snapshot stands for; takes what `prepare_snapshot` returns.
  [[nodiscard]] static auto use_snapshot(const State& snapshot) -> State { return snapshot; }
  /// Raise it when the snapshot's form or meaning changes: snapshots of another version are ignored.
  static constexpr int snapshot_version = 1;

  /// The state after `history`, for tests: no actor, no store.
  template <class... Events>
  [[nodiscard]] static auto given(const Events&... history) -> State {
    State state = Derived::initial_state();
    (Derived::apply(state, history), ...);
    return state;
  }
};

class definition;
using definition_ptr = std::shared_ptr<const definition>;

/// The definition of `Aggregate`, for registration with a node; bind.hpp, which node.hpp brings, has it. It is most of what there is to
/// compile about an aggregate. One that several source files name is compiled in its own: `extern template auto
/// maestro::define<account>() -> maestro::definition_ptr;` after the class, and in account.cpp, which includes bind.hpp, the same
/// without `extern`.
template <class Aggregate>
[[nodiscard]] auto define() -> definition_ptr;

}  // namespace maestro
