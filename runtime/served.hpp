// What a program serves: the names of its commands, events and calls, for each aggregate type. Members of a cluster
// tell each other in the table of members, so that what only some of them can do is placed on those (cluster_view.hpp).
#pragma once

#include <maestro/aggregates/definition.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// The names of one aggregate type, each list sorted and without repetitions.
struct served_type {
  std::vector<std::string> commands;
  std::vector<std::string> events;  ///< That the program can read in the log.
  std::vector<std::string> calls;

  friend auto operator==(const served_type&, const served_type&) -> bool = default;
};

/// Whether `list`, which is sorted, holds `name`.
[[nodiscard]] auto holds(const std::vector<std::string>& list, std::string_view name) -> bool;

/// Whether `left` can read all that `right` can, and more.
[[nodiscard]] auto reads_more(const served_type& left, const served_type& right) -> bool;
/// Whether aggregates that `right` serves are better off with `left`: it reads more events, or the same and knows more
/// commands. A partial order: of two that each know what the other does not, neither dominates.
[[nodiscard]] auto dominates(const served_type& left, const served_type& right) -> bool;

/// All that one program serves. A value; nothing by default.
class served {
 public:
  served() = default;
  explicit served(const std::vector<definition_ptr>& types);
  /// Reads what `text` has written. Text that is anything else, or longer than `max_served_text`, gives one that serves
  /// nothing.
  [[nodiscard]] static auto parse(std::string_view text) -> served;

  /// One line of JSON, the same for the same names. Errors: `invalid_argument` where a name is no UTF-8, or all are
  /// longer than `max_served_text`.
  [[nodiscard]] auto text() const -> result<std::string>;

  /// Null where it serves no such type.
  [[nodiscard]] auto find(std::string_view type) const -> const served_type*;
  [[nodiscard]] auto types() const noexcept -> const std::map<std::string, served_type, std::less<>>& { return types_; }

  friend auto operator==(const served&, const served&) -> bool = default;

 private:
  std::map<std::string, served_type, std::less<>> types_;
};
using served_ptr = std::shared_ptr<const served>;

/// The name by which a text of `served` goes: 16 hexadecimal digits.
[[nodiscard]] auto served_digest(std::string_view text) -> std::string;

}  // namespace maestro
