#include <maestro/aggregates/metadata.hpp>
#include <maestro/aggregates/recorded_rejection.hpp>
#include <maestro/aggregates/test_kit/difference.hpp>
#include <maestro/aggregates/test_kit/examination.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace maestro::detail {

namespace {

// Any moment would do; a test that reads the clock would not be the same tomorrow.
constexpr std::chrono::sys_seconds beginning{std::chrono::sys_days{std::chrono::year{2000} / 1 / 1}};

auto listed_from(const std::vector<emitted_event>& events) -> std::vector<listed> {
  std::vector<listed> list;
  for (const auto& each : events) list.push_back({std::string(each.type), each.body});
  return list;
}

auto event_text(const emitted_event& event) -> std::string {
  return std::string(event.type) + " " + shortened(event.body);
}

// One line for each of `list`, which has nothing to be compared with.
auto lines_of(const std::vector<emitted_event>& list, std::string_view what) -> std::string {
  const auto all = listed_from(list);
  const difference_words words{.same = what};
  return compare_lists(all, all, words).lines;
}

auto answer_text(const emitted_list& answer) -> std::string {
  return answer ? count_text(answer->size()) : failure_text(answer.failure());
}

// Empty when both are the same answer.
auto compare_answers(const emitted_list& first, const emitted_list& again) -> std::string {
  constexpr difference_words words{.expected = "first", .found = "again", .same = "both times"};
  if (first && again) {
    const auto difference = compare_lists(listed_from(*first), listed_from(*again), words);
    return difference.places.empty() ? std::string() : difference.lines;
  }
  if (!first && !again && first.failure() == again.failure()) return {};
  return "\n  first: " + answer_text(first) + "\n  again: " + answer_text(again);
}

auto state_lines(std::string_view expected, std::string_view found, const difference_words& words) -> std::string {
  const auto width = std::max(words.expected.size(), words.found.size());
  const auto line = [&](std::string_view word, std::string_view text) {
    return "\n  state, " + std::string(word) + ":" + std::string(width - word.size() + 1, ' ') + shortened(text);
  };
  return line(words.expected, expected) + line(words.found, found) + member_differences(expected, found, "    ", words);
}

}  // namespace

auto failure_text(const error& failure) -> std::string {
  if (failure.code == errc::rejected)
    return std::string(failure.is_recorded ? "the recorded rejection \"" : "the rejection \"") +
           shortened(failure.message) + "\"";
  return shortened(to_string(failure));
}

auto command_text(std::string_view command, std::string_view payload) -> std::string {
  constexpr std::size_t longest = 200;  // It is part of a title.
  return std::string(command) + (payload.empty() ? "" : " " + shortened(payload, longest));
}

auto count_text(std::size_t events) -> std::string {
  if (events == 0) return "no events";
  return std::to_string(events) + (events == 1 ? " event" : " events");
}

examination::examination(kit_subject subject) : subject_(std::move(subject)) {
  with_.aggregate_id = derive_aggregate_id(subject_.type->type(), "test");
  with_.time = beginning;
  with_.command_id = command_id::make(
      static_cast<std::uint64_t>(std::chrono::milliseconds(beginning.time_since_epoch()).count()), 0, 1);
  auto initial = subject_.type->initial_state();
  if (initial)
    before_ = state_ = std::move(*initial);
  else
    problem_ = title() + ": it has no initial state: " + initial.failure().message;
}

auto examination::title() const -> std::string {
  std::string text(subject_.type->type());
  return command_.empty() ? text : text + ": " + command_text(command_, payload_);
}

void examination::given(const emitted_list& history) {
  if (!problem_.empty()) return;
  const auto wrong = [&](const std::string& what) { problem_ = title() + ": what is given is wrong: " + what; };
  if (!history) return wrong(history.failure().message);
  for (const auto& each : *history) {
    if (auto problem = codec_problem(each); !problem.empty()) return wrong(problem);
    if (auto applied = replay(state_, each, with_.sequence + 1); !applied)
      return wrong(event_text(each) + ": " + applied.failure().message);
    ++with_.sequence;
  }
}

void examination::given_state(state_ptr state, sequence_number at) {
  before_ = state_ = std::move(state);
  with_.sequence = at;
}

void examination::when(std::string_view command, const result<std::string>& payload) {
  command_ = command;
  payload_.clear();
  if (answer_) {  // One command after another has an id of its own.
    with_.command_id = derive_command_id(with_.command_id, "next");
    answer_.reset();
  }
  if (!problem_.empty()) return;
  const auto wrong = [&](const std::string& what) { problem_ = title() + ": " + what; };
  if (!payload) return wrong("the command cannot be sent: " + payload.failure().message);
  payload_ = *payload;
  auto metadata = check_metadata(metadata_);
  if (!metadata) return wrong("the metadata cannot be sent: " + metadata.failure().message);
  metadata_ = std::move(*metadata);
  const auto decoded = subject_.type->decode_command(command, *payload);
  if (!decoded) return wrong("the command cannot be received: " + decoded.failure().message);
  if (auto problem = evaluate(*decoded); !problem.empty()) wrong(problem);
}

// Fills `answer_` and moves `state_` on. What is wrong whatever the test expects is returned.
auto examination::evaluate(const decoded_command& command) -> std::string {
  before_ = state_;
  auto on = subject_.type->clone(before_);
  auto once_more_on = subject_.type->clone(before_);
  if (!on || !once_more_on) return (on ? once_more_on : on).failure().message;
  context with = with_;
  with.metadata = metadata_;
  answer_ = subject_.type->eval(*on, command, with);
  const auto again = subject_.type->eval(*once_more_on, command, with);
  if (auto difference = compare_answers(*answer_, again); !difference.empty())
    return "eval answers differently when it is asked again, and the runtime may ask several times" + difference;
  return *answer_ ? apply_found(*on) : record_rejection();
}

// One that is final takes a row of the log, and leaves the state as it was.
auto examination::record_rejection() -> std::string {
  const auto& rejection = answer_->failure();
  if (!rejection.is_recorded) return {};
  if (const auto row = event_of_rejection(rejection); !row) return row.failure().message;
  ++with_.sequence;
  return {};
}

auto examination::apply_found(const state_ptr& onto) -> std::string {
  for (const auto& each : **answer_)
    if (auto problem = codec_problem(each); !problem.empty()) return problem;
  for (const auto& each : **answer_)
    if (auto applied = subject_.type->apply(onto, each.type, each.value.get()); !applied)
      return event_text(each) + ": " + applied.failure().message;
  if (auto problem = check_replayed(onto); !problem.empty()) return problem;
  state_ = onto;
  with_.sequence += static_cast<sequence_number>((*answer_)->size());
  return {};
}

// A node that hydrates the aggregate applies events that were read back, and must come to the same state.
auto examination::check_replayed(const state_ptr& live) const -> std::string {
  const auto replayed = subject_.type->clone(before_);
  if (!replayed) return replayed.failure().message;
  sequence_number sequence = with_.sequence;
  for (const auto& each : **answer_)
    if (auto applied = replay(*replayed, each, ++sequence); !applied)
      return event_text(each) + ", read back: " + applied.failure().message;
  const auto found = subject_.type->encode_state(live);
  const auto later = subject_.type->encode_state(*replayed);
  for (const auto* text : {&found, &later})
    if (!*text) return "the state after it cannot be shown: " + text->failure().message;
  constexpr difference_words words{.expected = "from eval", .found = "read back"};
  if (member_differences(*found, *later, "").empty()) return {};
  return "the same events lead to another state when they are read back from the log: is a member missing in serialize?" +
         state_lines(*found, *later, words);
}

auto examination::replay(const state_ptr& onto, const emitted_event& stored, sequence_number sequence) const
    -> result<void> {
  event row;
  row.timestamp = timestamp::make(with_.command_id.milliseconds(), 0, static_cast<std::uint64_t>(sequence));
  row.aggregate_id = with_.aggregate_id;
  row.sequence = sequence;
  row.aggregate_type = subject_.type->type();
  row.type = stored.type;
  row.body = stored.body;
  row.command_id = with_.command_id;
  row.metadata = metadata_;
  return subject_.type->enter(onto, row);
}

auto examination::codec_problem(const emitted_event& written) const -> std::string {
  if (!written.value) return {};  // A row of the log, which nobody writes like that any more.
  const auto again = subject_.rewrite(written.type, written.body);
  if (!again) return event_text(written) + " cannot be read back: " + again.failure().message;
  constexpr difference_words words{.expected = "written", .found = "read back"};
  const auto lost = member_differences(written.body, *again, "    ", words);
  return lost.empty() ? lost : event_text(written) + " is another event when it is read back" + lost;
}

auto examination::state_text(const state_ptr& of) const -> std::string {
  const auto text = subject_.type->encode_state(of);
  return text ? shortened(*text) : "(" + text.failure().message + ")";
}

auto examination::check_events(const emitted_list& expected) const -> std::string {
  if (!problem_.empty()) return problem_;
  if (!expected) return title() + ": what is expected is wrong: " + expected.failure().message;
  const std::string before = "\n  state before: " + state_text(before_);
  if (!*answer_)
    return title() + ": expected " + count_text(expected->size()) + ", found " + failure_text(answer_->failure()) +
           lines_of(*expected, "expected") + before;
  const auto difference = compare_lists(listed_from(*expected), listed_from(**answer_));
  if (difference.places.empty()) return {};
  return title() + ": " + places_text(difference, "event") + difference.lines + before;
}

auto examination::check_rejection(std::optional<std::string_view> reason) const -> std::string {
  if (!problem_.empty()) return problem_;
  const auto& answer = *answer_;
  if (!answer && answer.failure().code == errc::rejected && (!reason || *reason == answer.failure().message)) return {};
  std::string text = title() + ": expected ";
  text += reason ? failure_text(reject(std::string(*reason))) : "a rejection";
  text += ", found " + answer_text(answer);
  if (answer) text += lines_of(*answer, "found");
  return text + "\n  state before: " + state_text(before_);
}

auto examination::check_recorded() const -> std::string {
  if (!problem_.empty()) return problem_;
  if (!*answer_ && answer_->failure().is_recorded) return {};
  return title() + ": expected a recorded rejection, found " + answer_text(*answer_) +
         "\n  state before: " + state_text(before_);
}

auto examination::check_state(const result<std::string>& expected) const -> std::string {
  if (!problem_.empty()) return problem_;
  if (!expected) return title() + ": the state that is expected is wrong: " + expected.failure().message;
  const auto found = subject_.type->encode_state(state_);
  if (!found) return title() + ": the state cannot be shown: " + found.failure().message;
  if (member_differences(*expected, *found, "").empty()) return {};
  return title() + ": the state differs" + state_lines(*expected, *found, {});
}

auto check_examples(const kit_subject& subject, std::span<const default_event> defaults, const emitted_list& examples)
    -> std::string {
  std::string problems;
  const auto add = [&](std::string_view type, const std::string& what) {
    problems += "\n  " + std::string(type) + ": " + what;
  };
  constexpr difference_words words{.expected = "written", .found = "read back"};
  const auto come_back = [&](std::string_view type, const std::string& body, const std::string& which) {
    const auto again = subject.rewrite(type, body);
    if (!again) return add(type, which + " cannot be read back: " + again.failure().message);
    const auto lost = member_differences(body, *again, "    ", words);
    if (!lost.empty()) add(type, which + " is another event when it is read back" + lost);
  };

  if (!examples) problems += "\n  an example is wrong: " + examples.failure().message;
  for (const auto& each : defaults) {
    if (!each.body) {
      add(each.type, "its default value cannot be stored: " + each.body.failure().message);
      continue;
    }
    come_back(each.type, *each.body, "its default value " + shortened(*each.body));
    if (!examples || !each.has_members) continue;
    std::set<std::string> unseen;
    for (auto& name : members_unlike(*each.body, "{}")) unseen.insert(std::move(name));
    bool any = false;
    for (const auto& example : *examples) {
      if (example.type != each.type) continue;
      any = true;
      come_back(each.type, example.body, shortened(example.body));
      for (const auto& name : members_unlike(example.body, *each.body)) unseen.erase(name);
    }
    if (!any)
      add(each.type, "no example was given");
    else
      for (const auto& name : unseen) add(each.type, "no example has another `" + name + "` than its default value");
  }
  if (problems.empty()) return {};
  return std::string(subject.type->type()) + ": the events do not all survive the codec, as far as the examples tell" +
         problems;
}

}  // namespace maestro::detail
