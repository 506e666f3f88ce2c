// What several owners of the same counters were asked and answered, beside the log that it left, and whether some serial
// order of it all explains every answer: one that agrees with the log, and in which nothing that was over comes after what
// had not begun. The domain is the counter's (counter.hpp).
#pragma once

#include <maestro/aggregates/definition.hpp>
#include <maestro/aggregates/jobs.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// Counts everything that is sent and every answer: the lower one came first.
using moment = std::uint64_t;

struct recorded_command {
  int owner = 0;
  maestro::aggregate_id aggregate;
  maestro::command_id id;
  std::string name;
  std::string payload;
  std::optional<maestro::sequence_number> expect_sequence;
  maestro::return_mode returns = maestro::return_mode::sequences;
  std::uint64_t expires_at = 0;  ///< 0: never.
  moment sent = 0;
  moment answered = 0;
  maestro::command_answer answer;
};

struct recorded_query {
  int owner = 0;
  maestro::aggregate_id aggregate;
  maestro::query_kind kind = maestro::query_kind::get;
  maestro::sequence_number at_least = 0;
  std::string name;  ///< Of a call.
  moment sent = 0;
  moment answered = 0;
  maestro::query_answer answer;
};

/// Events that somebody wrote past all owners.
struct recorded_append {
  maestro::aggregate_id aggregate;
  std::vector<maestro::event> events;
  moment sent = 0;
  moment answered = 0;
  maestro::error failure;
};

struct recorded_history {
  std::vector<recorded_command> commands;
  std::vector<recorded_query> queries;
  std::vector<recorded_append> appends;
  std::map<maestro::aggregate_id, std::vector<maestro::event>> logs;  ///< Of every aggregate, in the end.
  bool bad_days = false;  ///< The store could not always be read: a state may be missing where a log was to be read for it.
};

/// What holds in every history that a serial order explains.
enum class rule : std::uint8_t {
  the_log_is_whole,                  ///< Sequences 1, 2, 3 ..., timestamps that increase, one type.
  every_event_was_sent,              ///< By a command or an append of the history.
  a_command_is_in_the_log_once,      ///< And in one piece.
  events_are_what_eval_gives,        ///< On the state just before them.
  an_accepted_command_is_in_the_log, ///< At the sequences of its answer.
  an_answer_shows_what_is_in_the_log,  ///< Its state and its events.
  what_was_refused_is_not_in_the_log,
  one_attempt_at_a_command_is_the_first,  ///< All other answers say "repeated".
  some_state_explains_an_answer,
  the_state_is_of_the_time_of_asking,  ///< Neither overtaken before the question was sent, nor made by what was sent later.
  what_was_over_comes_first,         ///< In the log, too.
  what_get_shows_never_goes_back,    ///< Within one owner.
  a_label_has_one_holder,
  a_label_is_refused_when_somebody_holds_it,
  an_id_is_refused_when_another_command_has_it,
  everybody_is_answered,             ///< With a failure that fits a sound store.
};
auto operator<<(std::ostream& out, rule which) -> std::ostream&;

struct contradiction {
  rule broken;
  std::string what;
};
auto operator<<(std::ostream& out, const contradiction& found) -> std::ostream&;

/// The first contradiction in `history`; none when a serial order explains it.
[[nodiscard]] auto find_contradiction(const recorded_history& history, const maestro::definition& type)
    -> std::optional<contradiction>;

}  // namespace test
