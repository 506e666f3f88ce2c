// The log gives the order of what was written, and with it every state there was. An answer that wrote nothing gets the
// earliest state that explains it and that is not older than anything that was over when its question was sent. If any order
// explains all answers, this one does: an earlier state never forbids what a later one allows.
#include "serial_order.hpp"

#include "counter.hpp"

#include <maestro/aggregates/hydrate.hpp>
#include <maestro/aggregates/metadata.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <limits>
#include <set>
#include <utility>

namespace test {

using namespace maestro;

namespace {

constexpr moment never = std::numeric_limits<moment>::max();

[[noreturn]] void object(rule broken, std::string what) { throw contradiction{broken, std::move(what)}; }

auto canonical(const std::string& json) -> std::string {
  const auto compact = json_compact(json);
  if (!compact) return json;
  auto sorted = json_canonical(*compact);
  return sorted ? *sorted : *compact;
}

auto same_body(const std::string& one, const std::string& other) -> bool {
  return one == other || canonical(one) == canonical(other);
}

auto same_event(const event& one, const event& other) -> bool {
  return one.timestamp == other.timestamp && one.aggregate_id == other.aggregate_id && one.sequence == other.sequence &&
         one.type == other.type && one.command_id == other.command_id && same_body(one.body, other.body);
}

auto asked(int owner, moment sent, moment answered) -> std::string {
  return " to owner " + std::to_string(owner) + ", sent at " + std::to_string(sent) + ", answered at " +
         std::to_string(answered);
}

auto text(const recorded_command& command) -> std::string {
  const auto& got = command.answer;
  std::string answer = got.failure ? to_string(got.failure)
                                   : "events " + std::to_string(got.first) + " to " + std::to_string(got.last);
  if (got.repeated) answer += ", repeated";
  if (!got.state.empty()) answer += ", state " + got.state;
  std::string expects = command.expect_sequence ? " at " + std::to_string(*command.expect_sequence) : "";
  if (command.expires_at != 0) expects += " with an expiry";
  return "the command " + command.id.text() + " " + command.name + " " + command.payload + expects +
         asked(command.owner, command.sent, command.answered) + " (" + answer + ")";
}

auto text(const recorded_query& query) -> std::string {
  static constexpr std::array names{"get", "fetch", "replay", "snapshot", "call"};
  const auto& got = query.answer;
  return "the " + std::string(names.at(static_cast<std::size_t>(query.kind))) + " " + query.name +
         asked(query.owner, query.sent, query.answered) + " (sequence " + std::to_string(got.sequence) + ", " +
         (got.failure ? to_string(got.failure) : got.state) + ")";
}

/// What a command does to one state, as the runtime tells it.
struct outcome {
  error failure;
  std::vector<emitted_event> events;
};

auto evaluate(const definition& type, const state_ptr& state, sequence_number sequence, const recorded_command& command)
    -> outcome {
  const auto decoded = type.decode_command(command.name, command.payload);
  if (!decoded) return {decoded.failure(), {}};
  if (command.expect_sequence && *command.expect_sequence != sequence)
    return {{errc::wrong_sequence, "aggregate \"" + std::string(type.type()) + "\" " + command.aggregate.text() +
                                       " is at sequence " + std::to_string(sequence) + ", the command expects " +
                                       std::to_string(*command.expect_sequence)},
            {}};
  auto emitted = type.eval(state, *decoded, {command.aggregate, sequence, {}, command.id, {}});
  if (!emitted) return {emitted.failure(), {}};
  if (emitted->empty()) return {};
  const auto next = type.clone(state).value();
  for (const auto& each : *emitted)
    if (auto applied = type.apply(next, each.type, each.value.get()); !applied)
      return {{applied.failure().code, "event \"" + std::string(each.type) + "\": " + applied.failure().message}, {}};
  return {{}, std::move(*emitted)};
}

auto stored(const recorded_command& command) -> bool { return !command.answer.failure && command.answer.last > 0; }

auto print_of(const recorded_command& command) -> std::optional<fingerprint> {
  const auto print = command_fingerprint(command.name, command.payload);
  return print ? std::optional(*print) : std::nullopt;
}

/// The events of one command, or of one append.
struct run {
  sequence_number first = 0;
  sequence_number last = 0;
  std::optional<command_id> command;
  std::size_t append = 0;  ///< Which one, where there is no command.
  moment sent = never;     ///< It cannot have been written before.
};

/// Somebody holds a label from when their command may have been written.
struct label_holder {
  aggregate_id aggregate;
  command_id command;
  moment sent = 0;
};
using label_holders = std::map<std::string, label_holder>;

/// A question on its way through time.
struct question {
  moment sent = 0;
  moment answered = never;
  sequence_number floor = 0;                          ///< What was over when it was sent,
  const question* floor_by = nullptr;                 ///< as is known by this one.
  sequence_number ceiling = 0;                        ///< What can have been written when it was answered.
  std::function<bool(sequence_number)> is_explained;  ///< By the state there. Empty: `shown` is all it says.
  sequence_number shown = 0;
  sequence_number writes_from = 0;  ///< Is itself in the log, from there on.
  int owner = 0;                    ///< Whose view of the aggregate it shows; 0: of none.
  bool may_lag = false;
  std::function<std::string()> described;
};

/// The check of one aggregate.
class examination {
 public:
  examination(const recorded_history& history, const definition& type, const aggregate_id& id)
      : type_(type), id_(id), log_(history.logs.at(id)), history_(history) {
    for (const auto& command : history.commands)
      if (command.aggregate == id) attempts_[command.id].push_back(&command);
  }

  void examine_log(label_holders& labels) {
    replay();
    find_runs();
    for (auto& each : runs_) {
      if (each.command) examine_command(each, labels);
      else examine_append(each);
    }
  }

  void examine_answers(const label_holders& labels) {
    for (const auto& [id, attempts] : attempts_) {
      examine_attempts(attempts);
      for (const auto* command : attempts) examine_answer(*command, labels);
    }
    for (const auto& append : history_.appends)
      if (append.aggregate == id_) examine_answer(append);
    for (const auto& query : history_.queries)
      if (query.aggregate == id_) examine_answer(query);
    go_through_time();
  }

 private:
  [[nodiscard]] auto row(sequence_number at) const -> const event& { return log_[static_cast<std::size_t>(at - 1)]; }
  [[nodiscard]] auto state(sequence_number at) const -> const state_ptr& { return states_[static_cast<std::size_t>(at)]; }
  [[nodiscard]] auto end() const -> sequence_number { return static_cast<sequence_number>(log_.size()); }
  [[nodiscard]] auto shows(sequence_number at, const std::string& json) const -> bool {
    return same_body(type_.encode_state(state(at)).value(), json);
  }
  [[nodiscard]] auto place(const run& of) const -> std::string {
    return "aggregate " + id_.text() + ", events " + std::to_string(of.first) + " to " + std::to_string(of.last);
  }

  // All that is known of a command.
  [[nodiscard]] auto told(const command_id& command) const -> std::string {
    std::string all;
    if (const run* own = find_run(command)) all += "; " + place(*own);
    if (const auto attempts = attempts_.find(command); attempts != attempts_.end())
      for (const auto* each : attempts->second) all += "; " + text(*each);
    return all;
  }

  void replay() {
    hydrated at{type_.initial_state().value(), 0, {}, 0, 0};
    states_.push_back(at.state);
    for (const event& row : log_) {
      const auto where = "aggregate " + id_.text() + " after sequence " + std::to_string(at.sequence);
      if (row.timestamp <= at.newest || row.aggregate_id != id_) object(rule::the_log_is_whole, where);
      at.state = type_.clone(at.state).value();
      if (auto entered = enter(at, type_, row); !entered)
        object(rule::the_log_is_whole, where + ": " + to_string(entered.failure()));
      states_.push_back(at.state);
    }
  }

  void find_runs() {
    std::map<timestamp, std::size_t> appended;
    for (std::size_t i = 0; i < history_.appends.size(); ++i)
      for (const auto& each : history_.appends[i].events) appended[each.timestamp] = i;
    std::set<command_id> known;
    for (const event& row : log_) {
      const auto by = appended.find(row.timestamp);
      if (!row.command_id && by == appended.end())
        object(rule::every_event_was_sent, "aggregate " + id_.text() + ", event " + std::to_string(row.sequence));
      const std::size_t append = row.command_id ? 0 : by->second;
      const bool begins = read_fingerprint(row.metadata).has_value();
      if (runs_.empty() || begins || runs_.back().command != row.command_id || runs_.back().append != append) {
        runs_.push_back({row.sequence, row.sequence, row.command_id, append, never});
        if (row.command_id && (!begins || !known.insert(*row.command_id).second))
          object(rule::a_command_is_in_the_log_once, place(runs_.back()) + told(*row.command_id));
      }
      runs_.back().last = row.sequence;
    }
    is_end_.assign(log_.size() + 1, false);
    is_end_[0] = true;
    for (const auto& each : runs_) is_end_[static_cast<std::size_t>(each.last)] = true;
  }

  void examine_command(run& of, label_holders& labels) {
    const auto print = read_fingerprint(row(of.first).metadata);
    const auto attempts = attempts_.find(*of.command);
    const recorded_command* any = nullptr;
    const recorded_command* author = nullptr;
    if (attempts != attempts_.end())
      for (const auto* command : attempts->second) {
        if (print_of(*command) != print) continue;
        any = command;
        if (!stored(*command) && command->answer.failure.kind() != error_kind::in_doubt) continue;
        if (!author || command->sent < author->sent) author = command;
      }
    if (!any) object(rule::every_event_was_sent, place(of));
    if (!author) object(rule::what_was_refused_is_not_in_the_log, place(of) + " of " + text(*any));
    const auto expected = evaluate(type_, state(of.first - 1), of.first - 1, *author);
    bool same = !expected.failure && static_cast<std::size_t>(of.last - of.first) + 1 == expected.events.size();
    for (std::size_t i = 0; same && i < expected.events.size(); ++i) {
      const auto& there = row(of.first + static_cast<sequence_number>(i));
      same = there.type == expected.events[i].type && same_body(there.body, expected.events[i].body);
    }
    if (!same) object(rule::events_are_what_eval_gives, place(of) + " of " + text(*author));
    of.sent = author->sent;
    for (auto at = of.first; at <= of.last; ++at) {
      if (row(at).type != registered_name<claimed>()) continue;
      const auto label = decode<claimed>(row(at).body).value().label;
      const auto [holder, only] = labels.try_emplace(label, label_holder{id_, *of.command, of.sent});
      if (!only)
        object(rule::a_label_has_one_holder, "\"" + label + "\" is held by aggregate " + holder->second.aggregate.text() +
                                                 " and by " + place(of));
    }
  }

  void examine_append(run& of) {
    const auto& append = history_.appends[of.append];
    if (append.failure && append.failure.kind() != error_kind::in_doubt)
      object(rule::what_was_refused_is_not_in_the_log, place(of) + ", appended by a stranger");
    bool same = static_cast<std::size_t>(of.last - of.first) + 1 == append.events.size();
    for (std::size_t i = 0; same && i < append.events.size(); ++i)
      same = same_event(row(of.first + static_cast<sequence_number>(i)), append.events[i]);
    if (!same) object(rule::every_event_was_sent, place(of) + ", appended by a stranger");
    of.sent = append.sent;
  }

  [[nodiscard]] auto find_run(const command_id& command) const -> const run* {
    const auto found = std::find_if(runs_.begin(), runs_.end(), [&](const run& each) { return each.command == command; });
    return found == runs_.end() ? nullptr : &*found;
  }

  void examine_attempts(const std::vector<const recorded_command*>& attempts) const {
    const auto first = [](const recorded_command* each) { return stored(*each) && !each->answer.repeated; };
    const bool alone = attempts.size() == 1;
    if (std::count_if(attempts.begin(), attempts.end(), first) > 1 || (alone && attempts.front()->answer.repeated))
      object(rule::one_attempt_at_a_command_is_the_first, told(attempts.front()->id));
  }

  void examine_answer(const recorded_command& command, const label_holders& labels) {
    if (command.answered == 0) object(rule::everybody_is_answered, text(command));
    if (stored(command)) return examine_accepted(command);
    const auto& failure = command.answer.failure;
    // A fault of the program is as certain an answer as a rejection.
    if (failure && failure.kind() != error_kind::rejected && failure.code != errc::program_failed) {
      static const std::set<errc> fitting{errc::too_many_conflicts, errc::overloaded, errc::store_unavailable,
                                          errc::timed_out, errc::in_doubt};
      if (!fitting.contains(failure.code)) object(rule::everybody_is_answered, text(command));
      return;  // Whether it is in the log, the log was asked.
    }
    if (failure.code == errc::command_id_reused) return examine_reused(command);
    if (failure.code == errc::projection_failed) examine_label(command, labels);
    const auto decoded = type_.decode_command(command.name, command.payload);
    if (!decoded && decoded.failure() == failure) return;  // Whatever the state.
    question next = ask(sent_first(command), command.answered);
    // A command that is in the log already is answered from there, not by another evaluation.
    if (const run* own = find_run(command.id)) next.ceiling = std::min(next.ceiling, own->first - 1);
    next.is_explained = [this, &command](sequence_number at) {
      if (command.answer.last != 0 || command.answer.first != 0 || !command.answer.events.empty()) return false;
      const auto then = evaluate(type_, state(at), at, command);
      if (command.answer.failure.code == errc::projection_failed) return !then.failure && !then.events.empty();
      if (command.answer.failure || then.failure) return command.answer.failure == then.failure;
      if (command.answer.state.empty() && command.returns == return_mode::state) return false;
      return then.events.empty() && (command.answer.state.empty() || shows(at, command.answer.state));
    };
    next.described = [this, &command] { return text(command) + told(command.id); };
    questions_.push_back(std::move(next));
  }

  // An attempt that comes while another is under way with the same owner shares its answer.
  [[nodiscard]] auto sent_first(const recorded_command& command) const -> moment {
    moment first = command.sent;
    for (const auto* other : attempts_.at(command.id))
      if (other->owner == command.owner && other->answered > command.sent && print_of(*other) == print_of(command))
        first = std::min(first, other->sent);
    return first;
  }

  void examine_accepted(const recorded_command& command) {
    const auto& answer = command.answer;
    const run* own = find_run(command.id);
    if (!own || own->first != answer.first || own->last != answer.last ||
        read_fingerprint(row(own->first).metadata) != print_of(command))
      object(rule::an_accepted_command_is_in_the_log, text(command));
    // What was carried out before is shown where the log can be read, and is read before the command's time is over.
    const bool may_be_missing = answer.repeated && (history_.bad_days || command.expires_at != 0);
    const bool must_show = command.returns == return_mode::state && !may_be_missing;
    bool same = answer.state.empty() ? !must_show : shows(own->last, answer.state);
    if (command.returns == return_mode::events || !answer.events.empty()) {
      same = same && std::equal(answer.events.begin(), answer.events.end(), log_.begin() + (own->first - 1),
                                log_.begin() + own->last, same_event);
    }
    if (!same) object(rule::an_answer_shows_what_is_in_the_log, text(command));
    question next = ask(command.sent, command.answered);
    next.shown = own->last;
    next.owner = answer.repeated ? 0 : command.owner;
    next.described = [&command] { return text(command); };
    questions_.push_back(std::move(next));
  }

  void examine_reused(const recorded_command& command) const {
    const auto& attempts = attempts_.at(command.id);
    const bool there = std::any_of(attempts.begin(), attempts.end(), [&](const recorded_command* other) {
      return print_of(*other) != print_of(command) && other->sent < command.answered;
    });
    if (!there) object(rule::an_id_is_refused_when_another_command_has_it, text(command));
  }

  static void examine_label(const recorded_command& command, const label_holders& labels) {
    const auto wanted = decode<claim>(command.payload);
    const auto holder = wanted ? labels.find(wanted->label) : labels.end();
    if (command.name != registered_name<claim>() || holder == labels.end() || holder->second.sent > command.answered ||
        command.answer.failure.message.find("label") == std::string::npos)
      object(rule::a_label_is_refused_when_somebody_holds_it, text(command));
  }

  void examine_answer(const recorded_append& append) {
    if (append.failure) return;
    const auto found = std::find_if(runs_.begin(), runs_.end(), [&](const run& each) {
      return !each.command && &history_.appends[each.append] == &append;
    });
    if (found == runs_.end())
      object(rule::an_accepted_command_is_in_the_log, "a stranger's events, sent at " + std::to_string(append.sent));
    question next = ask(append.sent, append.answered);
    next.shown = found->last;
    next.described = [this, found] { return place(*found) + ", appended by a stranger"; };
    questions_.push_back(std::move(next));
  }

  void examine_answer(const recorded_query& query) {
    if (query.answered == 0) object(rule::everybody_is_answered, text(query));
    const auto& answer = query.answer;
    if (answer.failure.code == errc::store_unavailable) return;
    if (query.kind == query_kind::snapshot) {
      if (answer.failure) object(rule::everybody_is_answered, text(query));
      return;
    }
    question next = ask(query.sent, query.answered);
    next.shown = answer.sequence;
    next.owner = query.owner;
    next.may_lag = query.kind == query_kind::get;
    next.is_explained = [this, &query](sequence_number at) {
      if (query.answer.sequence != at) return false;
      if (at < query.at_least) return query.answer.failure.code == errc::sequence_not_reached;
      if (query.kind != query_kind::call) return !query.answer.failure && shows(at, query.answer.state);
      const auto reply = type_.call(state(at), query.name, "{}");
      return reply ? !query.answer.failure && same_body(*reply, query.answer.state)
                   : query.answer.failure == reply.failure();
    };
    next.described = [&query] { return text(query); };
    questions_.push_back(std::move(next));
  }

  [[nodiscard]] auto ask(moment sent, moment answered) const -> question {
    question next;
    next.sent = sent;
    next.answered = answered;
    next.ceiling = end();
    for (const auto& each : runs_)
      if (each.sent > answered) next.ceiling = std::min(next.ceiling, each.first - 1);
    return next;
  }

  void go_through_time() {
    for (const auto& each : runs_) {
      question written;
      written.sent = each.sent;
      written.writes_from = each.first;
      written.described = [this, &each] { return place(each); };
      questions_.push_back(std::move(written));
    }
    std::vector<std::pair<moment, std::size_t>> steps;
    for (std::size_t i = 0; i < questions_.size(); ++i) {
      steps.emplace_back(questions_[i].sent, i);
      if (questions_[i].answered != never) steps.emplace_back(questions_[i].answered, i);
    }
    std::sort(steps.begin(), steps.end());
    sequence_number over = 0;
    const question* known_by = nullptr;
    std::map<int, sequence_number> shown_by;
    for (const auto& [at, index] : steps) {
      question& each = questions_[index];
      if (at == each.sent) {
        each.floor = each.may_lag ? shown_by[each.owner] : over;
        each.floor_by = each.may_lag ? nullptr : known_by;
        if (each.writes_from > 0 && each.writes_from <= over)
          object(rule::what_was_over_comes_first, each.described() + ", sent at " + std::to_string(at) + because(each));
      } else {
        const auto explained_by = each.is_explained ? explanation(each) : each.shown;
        if (explained_by > over) known_by = &each;
        over = std::max(over, explained_by);
        if (each.owner != 0) shown_by[each.owner] = std::max(shown_by[each.owner], explained_by);
      }
    }
  }

  [[nodiscard]] static auto because(const question& of) -> std::string {
    if (!of.floor_by) return "";
    return ": sequence " + std::to_string(of.floor) + " was there before, known by " + of.floor_by->described();
  }

  // The earliest state that explains an answer, between two commands.
  [[nodiscard]] auto explanation(const question& of) const -> sequence_number {
    const auto explains = [&](sequence_number at) { return is_end_[static_cast<std::size_t>(at)] && of.is_explained(at); };
    for (auto at = of.floor; at <= of.ceiling; ++at)
      if (explains(at)) return at;
    for (sequence_number at = 0; at <= end(); ++at) {
      if (!explains(at)) continue;
      const bool went_back = of.may_lag && at < of.floor;
      object(went_back ? rule::what_get_shows_never_goes_back : rule::the_state_is_of_the_time_of_asking,
             of.described() + " is explained by sequence " + std::to_string(at) + ", not by any from " +
                 std::to_string(of.floor) + " to " + std::to_string(of.ceiling) + because(of));
    }
    object(rule::some_state_explains_an_answer, of.described());
  }

  const definition& type_;
  const aggregate_id id_;
  const std::vector<event>& log_;
  const recorded_history& history_;
  std::map<command_id, std::vector<const recorded_command*>> attempts_;
  std::vector<state_ptr> states_;  // After each sequence.
  std::vector<run> runs_;
  std::vector<bool> is_end_;  // Whether a run ends there.
  std::vector<question> questions_;
};

}  // namespace

auto find_contradiction(const recorded_history& history, const definition& type) -> std::optional<contradiction> {
  try {
    std::deque<examination> each;
    label_holders labels;
    for (const auto& [id, log] : history.logs) each.emplace_back(history, type, id).examine_log(labels);
    for (auto& one : each) one.examine_answers(labels);
  } catch (const contradiction& found) {
    return found;
  }
  return std::nullopt;
}

auto operator<<(std::ostream& out, rule which) -> std::ostream& {
  static constexpr std::array names{"the log is whole",
                                    "every event was sent",
                                    "a command is in the log once",
                                    "events are what eval gives",
                                    "an accepted command is in the log",
                                    "an answer shows what is in the log",
                                    "what was refused is not in the log",
                                    "one attempt at a command is the first",
                                    "some state explains an answer",
                                    "the state is of the time of asking",
                                    "what was over comes first",
                                    "what get shows never goes back",
                                    "a label has one holder",
                                    "a label is refused when somebody holds it",
                                    "an id is refused when another command has it",
                                    "everybody is answered"};
  return out << names.at(static_cast<std::size_t>(which));
}

auto operator<<(std::ostream& out, const contradiction& found) -> std::ostream& {
  return out << "\"" << found.broken << "\" does not hold: " << found.what;
}

}  // namespace test
