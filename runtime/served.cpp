#include <maestro/runtime/served.hpp>
#include <maestro/store/codec.hpp>
#include <maestro/store/members.hpp>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace maestro {

namespace {

// The form of the text.
struct type_row {
  std::string type;
  std::vector<std::string> commands, events, calls;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(type), CEREAL_NVP(commands), CEREAL_NVP(events), CEREAL_NVP(calls));
  }
};
struct all_rows {
  std::vector<type_row> types;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(types));
  }
};

constexpr json_limits text_limits{max_served_text, 8};

auto in_order(std::vector<std::string> names) -> std::vector<std::string> {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

auto in_order(const std::vector<std::string_view>& names) -> std::vector<std::string> {
  return in_order(std::vector<std::string>(names.begin(), names.end()));
}

// Whether `left` holds all of `right`, and more.
auto is_larger(const std::vector<std::string>& left, const std::vector<std::string>& right) -> bool {
  return left.size() > right.size() && std::includes(left.begin(), left.end(), right.begin(), right.end());
}

}  // namespace

auto holds(const std::vector<std::string>& list, std::string_view name) -> bool {
  return std::binary_search(list.begin(), list.end(), name, std::less<>());
}

auto reads_more(const served_type& left, const served_type& right) -> bool {
  return is_larger(left.events, right.events);
}

auto dominates(const served_type& left, const served_type& right) -> bool {
  return reads_more(left, right) || (left.events == right.events && is_larger(left.commands, right.commands));
}

served::served(const std::vector<definition_ptr>& types) {
  for (const auto& type : types) {
    const auto names = type->names();
    types_.emplace(type->type(), served_type{in_order(names.commands), in_order(names.events), in_order(names.calls)});
  }
}

auto served::parse(std::string_view text) -> served {
  served read;
  if (text.size() > max_served_text) return read;
  auto rows = decode<all_rows>(text, text_limits);
  if (!rows) return read;
  for (auto& row : rows->types)
    read.types_.emplace(std::move(row.type),
                        served_type{in_order(std::move(row.commands)), in_order(std::move(row.events)),
                                    in_order(std::move(row.calls))});
  return read;
}

auto served::text() const -> result<std::string> {
  all_rows rows;
  for (const auto& [type, names] : types_) rows.types.push_back({type, names.commands, names.events, names.calls});
  auto written = encode(rows, text_limits);
  if (!written)
    return error{errc::invalid_argument,
                 "the names of this program's aggregate types, commands, events and calls cannot be told to the other "
                 "members of a cluster: " +
                     written.failure().message};
  return written;
}

auto served::find(std::string_view type) const -> const served_type* {
  const auto found = types_.find(type);
  return found == types_.end() ? nullptr : &found->second;
}

auto served_digest(std::string_view text) -> std::string {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(placement_key(text)));
  return digits;
}

}  // namespace maestro
