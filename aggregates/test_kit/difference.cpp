#include <maestro/aggregates/test_kit/difference.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace maestro::detail {

namespace {

using nlohmann::json;

// Bounds on what is shown, so that the reason is not lost in a megabyte.
constexpr std::size_t longest_value = 120;
constexpr std::size_t most_members = 20;
constexpr std::size_t most_places = 50;

auto parsed(std::string_view text) -> json {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

auto dumped(const json& value) -> std::string {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// A byte that continues a character must not be the first that is cut off.
auto character_start(std::string_view text, std::size_t at) -> std::size_t {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return at;
}

// Collects one line for each member, however deep, that differs.
class member_comparison {
 public:
  member_comparison(std::string_view indent, const difference_words& words) : indent_(indent), words_(words) {}

  void compare(const json& expected, const json& found, const std::string& path) {
    if (expected.is_object() && found.is_object()) {
      std::set<std::string> names;
      for (const auto* side : {&expected, &found})
        for (const auto& member : side->items()) names.insert(member.key());
      for (const auto& name : names)
        compare_part(part(expected, name), part(found, name), path.empty() ? name : path + "." + name);
    } else if (expected.is_array() && found.is_array()) {
      for (std::size_t i = 0; i < std::max(expected.size(), found.size()); ++i)
        compare_part(i < expected.size() ? &expected[i] : nullptr, i < found.size() ? &found[i] : nullptr,
                     path.empty() ? "field " + std::to_string(i + 1) : path + "[" + std::to_string(i) + "]");
    } else if (expected != found) {
      add(path, &expected, &found);
    }
  }

  [[nodiscard]] auto take() -> std::string {
    if (count_ > most_members) line("... and " + std::to_string(count_ - most_members) + " more");
    return std::move(text_);
  }

 private:
  static auto part(const json& of, const std::string& name) -> const json* {
    const auto found = of.find(name);
    return found == of.end() ? nullptr : &*found;
  }

  void compare_part(const json* expected, const json* found, const std::string& path) {
    if (expected != nullptr && found != nullptr)
      compare(*expected, *found, path);
    else
      add(path, expected, found);
  }

  void add(const std::string& path, const json* expected, const json* found) {
    if (++count_ > most_members) return;
    auto left = shown(expected);
    auto right = shown(found);
    std::string from;
    if (std::max(left.size(), right.size()) > longest_value) from = skip_common(left, right);
    line((path.empty() ? "" : path + from + ": ") + std::string(words_.expected) + " " +
         shortened(left, longest_value) + ", " + std::string(words_.found) + " " + shortened(right, longest_value));
  }

  // Of two long texts the beginning that they share tells nothing.
  static auto skip_common(std::string& left, std::string& right) -> std::string {
    const auto [end, ignored] = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
    constexpr std::size_t context = 20;
    const auto same = static_cast<std::size_t>(end - left.begin());
    if (same <= context) return {};
    const auto start = character_start(left, same - context);
    for (auto* text : {&left, &right}) *text = "..." + text->substr(start);
    return " from byte " + std::to_string(start) + " on";
  }

  static auto shown(const json* value) -> std::string { return value == nullptr ? "nothing" : dumped(*value); }

  void line(const std::string& text) {
    text_ += '\n';
    text_ += indent_;
    text_ += text;
  }

  const std::string_view indent_;
  const difference_words& words_;
  std::string text_;
  std::size_t count_ = 0;
};

auto shown(const listed* entry) -> std::string {
  if (entry == nullptr) return "nothing";
  return (entry->name.empty() ? "" : entry->name + " ") + shortened(entry->json);
}

// The two words of a pair, padded to one width, so that its values stand below each other.
auto padded(std::string_view word, std::string_view other) -> std::string {
  std::string text(word);
  text += ':';
  if (word.size() < other.size()) text.append(other.size() - word.size(), ' ');
  return text;
}

auto differ(const listed* expected, const listed* found) -> bool {
  if (expected == nullptr || found == nullptr) return true;
  return expected->name != found->name || parsed(expected->json) != parsed(found->json);
}

auto pair_lines(const std::string& place, const listed* expected, const listed* found, const difference_words& words)
    -> std::string {
  std::string text = "\n  " + place + ", " + padded(words.expected, words.found) + " " + shown(expected);
  text += "\n  " + place + ", " + padded(words.found, words.expected) + " " + shown(found);
  if (expected != nullptr && found != nullptr && expected->name == found->name)
    text += member_differences(expected->json, found->json, "    ", words);
  return text;
}

}  // namespace

auto compare_lists(std::span<const listed> expected, std::span<const listed> found, const difference_words& words)
    -> list_difference {
  list_difference difference;
  const auto at = [](std::span<const listed> list, std::size_t i) { return i < list.size() ? &list[i] : nullptr; };
  const auto places = std::max(expected.size(), found.size());
  for (std::size_t i = 0; i < places; ++i)
    if (differ(at(expected, i), at(found, i))) difference.places.push_back(i + 1);

  const bool all = places <= most_places;
  std::size_t told = 0;
  for (std::size_t i = 0; i < places && told < most_places; ++i) {
    const bool same = !std::binary_search(difference.places.begin(), difference.places.end(), i + 1);
    if (same && !all) continue;
    ++told;
    const std::string place = std::string(words.each) + " " + std::to_string(i + 1);
    if (same)
      difference.lines += "\n  " + place + ", " + std::string(words.same) + ": " + shown(&found[i]);
    else
      difference.lines += pair_lines(place, at(expected, i), at(found, i), words);
  }
  if (told < places)
    difference.lines += "\n  ... and " + std::to_string(places - told) + " more " + std::string(words.each) + "s";
  return difference;
}

auto places_text(const list_difference& difference, std::string_view each) -> std::string {
  constexpr std::size_t most = 5;
  const auto& places = difference.places;
  std::string text(each);
  if (places.size() == 1) return text + " " + std::to_string(places.front()) + " differs";
  for (std::size_t i = 0; i < std::min(places.size(), most); ++i)
    text += (i == 0 ? "s " : ", ") + std::to_string(places[i]);
  return text + (places.size() > most ? " ... differ" : " differ");
}

auto member_differences(std::string_view expected, std::string_view found, std::string_view indent,
                        const difference_words& words) -> std::string {
  member_comparison comparison(indent, words);
  comparison.compare(parsed(expected), parsed(found), "");
  return comparison.take();
}

auto members_unlike(std::string_view json_text, std::string_view other) -> std::vector<std::string> {
  const auto left = parsed(json_text);
  const auto right = parsed(other);
  std::vector<std::string> names;
  for (const auto& member : left.items()) {
    const auto same = right.find(member.key());
    if (same == right.end() || *same != member.value()) names.push_back(member.key());
  }
  return names;
}

auto shortened(std::string_view text, std::size_t longest) -> std::string {
  if (text.size() <= longest) return std::string(text);
  return std::string(text.substr(0, character_start(text, longest))) + "... (" + std::to_string(text.size()) +
         " bytes)";
}

}  // namespace maestro::detail
