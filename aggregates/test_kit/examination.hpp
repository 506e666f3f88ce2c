// The test kit without an author's types: runs a history and a command through the same interface as the runtime does,
// and says in words what is not as it should be.
#pragma once

#include <maestro/aggregates/definition.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro::detail {

using emitted_list = result<std::vector<emitted_event>>;

/// An aggregate class, as far as the kit has to know it.
struct kit_subject {
  definition_ptr type;
  /// Decodes `body` as the event type of that name, and encodes it again.
  auto(*rewrite)(std::string_view type, std::string_view body) -> result<std::string>;
};

/// One aggregate on its way through a test: what was given, the command, and what came of it. Copies share states,
/// which nobody changes any more. No member throws. What is found wrong on the way (an `apply` that throws, an event
/// that does not survive the codec) is what every check answers from then on.
class examination {
 public:
  /// At the initial state. The context is the same in every run: the aggregate named "test", at the beginning of the
  /// year 2000.
  explicit examination(kit_subject subject);

  void given(const emitted_list& history);
  void given_state(state_ptr state, sequence_number at);
  [[nodiscard]] auto with() noexcept -> context& { return with_; }  ///< Of its metadata only the text below counts.
  void set_metadata(std::string metadata) { metadata_ = std::move(metadata); }

  /// Evaluates the command twice, applies its events, and applies them again as they are read back from the log.
  void when(std::string_view command, const result<std::string>& payload);

  /// Each is empty when it is as expected, or else says what is not.
  [[nodiscard]] auto check_events(const emitted_list& expected) const -> std::string;
  [[nodiscard]] auto check_recorded() const -> std::string;
  [[nodiscard]] auto check_rejection(std::optional<std::string_view> reason) const -> std::string;
  [[nodiscard]] auto check_state(const result<std::string>& expected) const -> std::string;

  [[nodiscard]] auto state() const noexcept -> const state_ptr& { return state_; }
  [[nodiscard]] auto problem() const noexcept -> const std::string& { return problem_; }
  /// What `eval` answered; only after `when`.
  [[nodiscard]] auto answer() const -> const emitted_list& { return *answer_; }
  /// `account: withdraw {"cents":5}`
  [[nodiscard]] auto title() const -> std::string;

 private:
  auto replay(const state_ptr& onto, const emitted_event& stored, sequence_number sequence) const -> result<void>;
  auto evaluate(const decoded_command& command) -> std::string;
  auto record_rejection() -> std::string;
  auto apply_found(const state_ptr& onto) -> std::string;
  auto check_replayed(const state_ptr& live) const -> std::string;
  auto codec_problem(const emitted_event& written) const -> std::string;
  auto state_text(const state_ptr& of) const -> std::string;

  kit_subject subject_;
  state_ptr before_;  // What the command was evaluated on.
  state_ptr state_;
  context with_;
  std::string metadata_;
  std::string command_;
  std::string payload_;
  std::optional<emitted_list> answer_;
  std::string problem_;
};

/// An event type with its default value.
struct default_event {
  std::string_view type;
  result<std::string> body;
  bool has_members = false;
};

/// Whether the default values and the examples come back from the codec as they were, and whether the examples tell
/// anything: a member that has its default value in all of them could be lost unseen. Empty, or what is wrong.
[[nodiscard]] auto check_examples(const kit_subject& subject, std::span<const default_event> defaults,
                                  const emitted_list& examples) -> std::string;

/// `the rejection "insufficient funds"`, `program_failed: eval threw: ...`
[[nodiscard]] auto failure_text(const error& failure) -> std::string;
/// `withdraw {"cents":5}`
[[nodiscard]] auto command_text(std::string_view command, std::string_view payload) -> std::string;
/// `no events`, `1 event`, `2 events`
[[nodiscard]] auto count_text(std::size_t events) -> std::string;

}  // namespace maestro::detail
