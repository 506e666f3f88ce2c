#include <maestro/store/json.hpp>

#include <maestro/store/id.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace maestro {

namespace {

// The names of the objects that are open, to find two of one name. Small objects are compared name by name, large ones are sorted
// when they close: time grows as n log n, whatever the names are.
class name_ledger {
 public:
  void open() { begins_.push_back(names_.size()); }

  // False when a small object has the name already.
  auto add(std::string_view name) -> bool {
    const entry added{key_of(name), name};
    const std::size_t begin = begins_.back();
    if (names_.size() - begin < small) {
      for (std::size_t i = begin; i < names_.size(); ++i)
        if (names_[i].key == added.key && names_[i].name == name) return false;
    }
    names_.push_back(added);
    return true;
  }
  auto add_unescaped(std::string name) -> bool { return add(unescaped_.emplace_back(std::move(name))); }

  // Ends the innermost object. The name that it has twice, if it is large and has one.
  auto close() -> std::optional<std::string_view> {
    const auto begin = names_.begin() + static_cast<std::ptrdiff_t>(begins_.back());
    std::optional<std::string_view> twin;
    if (names_.end() - begin > static_cast<std::ptrdiff_t>(small)) {
      std::sort(begin, names_.end(), [](const entry& left, const entry& right) {
        return left.key != right.key ? left.key < right.key : left.name < right.name;
      });
      const auto found = std::adjacent_find(begin, names_.end(), [](const entry& left, const entry& right) {
        return left.key == right.key && left.name == right.name;
      });
      if (found != names_.end()) twin = found->name;
    }
    names_.erase(begin, names_.end());
    begins_.pop_back();
    return twin;
  }

 private:
  static constexpr std::size_t small = 24;
  struct entry {
    std::uint64_t key;
    std::string_view name;
  };

  // The last eight bytes, mixed with the length: names of one object often begin alike.
  static auto key_of(std::string_view name) -> std::uint64_t {
    std::uint64_t bytes = 0;
    const auto length = std::min<std::size_t>(name.size(), sizeof(bytes));
    std::memcpy(&bytes, name.data() + (name.size() - length), length);
    return bytes ^ (static_cast<std::uint64_t>(name.size()) << 56);
  }

  std::vector<entry> names_;
  std::vector<std::size_t> begins_;
  std::deque<std::string> unescaped_;
};

auto unescaped(std::string_view quoted) -> std::string {
  const auto parsed = nlohmann::json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return parsed.is_string() ? parsed.get<std::string>() : std::string();
}

// A push-down scanner over RFC 8259 with an explicit stack of open brackets, so that depth costs no call stack.
class scanner {
 public:
  scanner(std::string_view text, json_limits limits, std::string* output)
      : text_(text), limits_(limits), output_(output) {}

  auto run() -> result<void> {
    if (text_.size() > limits_.bytes)
      return error{errc::malformed_payload, "JSON of " + std::to_string(text_.size()) + " bytes, the limit is " +
                                                std::to_string(limits_.bytes)};
    skip_space();
    if (at_end() || text_[at_] != '{') return fail("a JSON object must start with '{'");
    if (!scan_value()) return failure_;
    while (!open_.empty())
      if (!scan_within()) return failure_;
    skip_space();
    if (!at_end()) return fail("nothing may follow the object");
    return {};
  }

  // Valid after `run`.
  [[nodiscard]] auto has_signed_zero() const -> bool { return has_signed_zero_; }

 private:
  [[nodiscard]] auto at_end() const -> bool { return at_ == text_.size(); }

  auto fail(std::string_view what) -> error {
    failure_ = {errc::malformed_payload, "JSON is wrong at byte " + std::to_string(at_) + ": " + std::string(what)};
    return failure_;
  }
  auto wrong(std::string_view what) -> bool {
    (void)fail(what);
    return false;
  }

  void keep(std::size_t from) {
    if (output_ != nullptr) output_->append(text_.substr(from, at_ - from));
  }

  void skip_space() {
    while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }

  auto take(char expected, std::string_view otherwise) -> bool {
    skip_space();
    if (at_end() || text_[at_] != expected) return wrong(otherwise);
    ++at_;
    keep(at_ - 1);
    return true;
  }

  auto open(char bracket) -> bool {
    if (open_.size() == limits_.depth)
      return wrong("nested deeper than " + std::to_string(limits_.depth) + " levels");
    open_.push_back(bracket);
    if (bracket == '{' && limits_.names_differ) names_.open();
    fresh_ = true;
    ++at_;
    keep(at_ - 1);
    return true;
  }

  // Scans a whole scalar, or the opening bracket of an object or array.
  auto scan_value() -> bool {
    skip_space();
    if (at_end()) return wrong("a value is missing");
    switch (text_[at_]) {
      case '{':
      case '[': return open(text_[at_]);
      case '"': return scan_string();
      case 't': return scan_word("true");
      case 'f': return scan_word("false");
      case 'n': return scan_word("null");
      default: return scan_number();
    }
  }

  // One step inside the innermost open bracket: its end, or one more member or element.
  auto scan_within() -> bool {
    const bool object = open_.back() == '{';
    skip_space();
    if (at_end()) return wrong(object ? "an object is not closed" : "an array is not closed");
    const char close = object ? '}' : ']';
    if (text_[at_] == close) {
      if (object && limits_.names_differ)
        if (const auto twin = names_.close()) return wrong("the member " + json_quote(*twin) + " is there twice");
      open_.pop_back();
      fresh_ = false;
      ++at_;
      keep(at_ - 1);
      return true;
    }
    if (!fresh_ && !take(',', object ? "',' or '}' expected" : "',' or ']' expected")) return false;
    fresh_ = false;
    if (!object) return scan_value();
    skip_space();
    if (at_end() || text_[at_] != '"') return wrong("a member name in quotes expected");
    const std::size_t from = at_;
    if (!scan_string()) return false;
    if (limits_.names_differ && !note_name(text_.substr(from, at_ - from))) return false;
    return take(':', "':' expected") && scan_value();
  }

  auto note_name(std::string_view quoted) -> bool {
    const auto name = quoted.substr(1, quoted.size() - 2);
    const bool is_plain = std::memchr(name.data(), '\\', name.size()) == nullptr;
    if (is_plain ? names_.add(name) : names_.add_unescaped(unescaped(quoted))) return true;
    return wrong("the member " + json_quote(is_plain ? std::string(name) : unescaped(quoted)) + " is there twice");
  }

  auto scan_word(std::string_view word) -> bool {
    if (text_.substr(at_, word.size()) != word) return wrong("an unknown word");
    const std::size_t from = at_;
    at_ += word.size();
    keep(from);
    return true;
  }

  auto digits() -> bool {
    const std::size_t from = at_;
    while (!at_end() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ != from;
  }

  auto scan_number() -> bool {
    const std::size_t from = at_;
    if (text_[at_] == '-') ++at_;
    const std::size_t first = at_;
    if (!digits()) {
      at_ = from;
      return wrong("a value expected");
    }
    if (text_[first] == '0' && at_ - first > 1) return wrong("a number starts with a superfluous 0");
    if (!at_end() && text_[at_] == '.') {
      ++at_;
      if (!digits()) return wrong("digits expected after '.'");
    }
    if (!at_end() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (!at_end() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      const std::size_t exponent = at_;
      if (!digits()) return wrong("digits expected in the exponent");
      if (!is_small(text_.substr(exponent, at_ - exponent))) return wrong("an exponent beyond the range of a double");
    }
    if (at_ - from > 1000) return wrong("a number of more than 1000 characters");
    const auto number = text_.substr(from, at_ - from);
    if (is_infinite(number)) return wrong("a number beyond the range of a double");
    const bool is_signed_zero = number.front() == '-' && is_zero(number);
    has_signed_zero_ = has_signed_zero_ || is_signed_zero;
    keep(is_signed_zero ? from + 1 : from);
    return true;
  }

  // The mantissa has no digit but 0.
  static auto is_zero(std::string_view number) -> bool {
    return number.substr(0, number.find_first_of("eE")).find_first_of("123456789") == std::string_view::npos;
  }

  static auto is_infinite(std::string_view number) -> bool {
    const auto exponent = number.find_first_of("eE");
    if (exponent == std::string_view::npos && number.size() < 300) return false;
    double value = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), value).ec != std::errc::result_out_of_range) return false;
    // Too large or too close to 0: the place of the first digit tells.
    const auto mantissa = number.substr(number.front() == '-' ? 1 : 0, exponent - (number.front() == '-' ? 1 : 0));
    const auto point = std::min(mantissa.find('.'), mantissa.size());
    const auto first = mantissa.find_first_of("123456789");
    if (first == std::string_view::npos) return false;
    int power = 0;
    if (exponent != std::string_view::npos) {
      const auto sign = number.substr(exponent + 1).starts_with('+') ? 2 : 1;
      std::from_chars(number.data() + exponent + sign, number.data() + number.size(), power);
    }
    return static_cast<std::ptrdiff_t>(point) - static_cast<std::ptrdiff_t>(first) + power > 0;
  }

  // jsonb writes an exponent out in digits, also where the number is 0.
  static auto is_small(std::string_view exponent) -> bool {
    exponent.remove_prefix(std::min(exponent.find_first_not_of('0'), exponent.size()));
    return exponent.size() < 3 || (exponent.size() == 3 && exponent <= "400");
  }

  auto scan_string() -> bool {
    const std::size_t from = at_++;
    while (true) {
      if (at_end()) return wrong("a string is not closed");
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') break;
      if (byte < 0x20) return wrong("a control character in a string must be escaped");
      if (byte == '\\') {
        if (!scan_escape()) return false;
      } else if (byte < 0x80) {
        ++at_;
      } else if (!scan_multibyte(byte)) {
        return false;
      }
    }
    ++at_;
    keep(from);
    return true;
  }

  auto scan_escape() -> bool {
    ++at_;
    if (at_end()) return wrong("a string is not closed");
    if (text_[at_] != 'u') {
      if (std::string_view("\"\\/bfnrt").find(text_[at_]) == std::string_view::npos) return wrong("an unknown escape");
      ++at_;
      return true;
    }
    ++at_;
    const int unit = hex4();
    if (unit < 0) return wrong("four hex digits expected after \\u");
    if (unit == 0) return wrong("the character NUL cannot be stored");
    if (unit >= 0xDC00 && unit <= 0xDFFF) return wrong("a lone surrogate");
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      if (text_.substr(at_, 2) != "\\u") return wrong("a lone surrogate");
      at_ += 2;
      const int low = hex4();
      if (low < 0xDC00 || low > 0xDFFF) return wrong("a lone surrogate");
    }
    return true;
  }

  // Reads four hex digits and moves past them; -1 when they are not there.
  auto hex4() -> int {
    int value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_end()) return -1;
      const char c = text_[at_];
      if (c >= '0' && c <= '9') value = value * 16 + (c - '0');
      else if (c >= 'a' && c <= 'f') value = value * 16 + (c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') value = value * 16 + (c - 'A' + 10);
      else return -1;
    }
    return value;
  }

  // One well-formed UTF-8 sequence of two to four bytes (Unicode 15, table 3-7).
  auto scan_multibyte(unsigned char lead) -> bool {
    std::size_t length = 0;
    unsigned char lowest = 0x80;
    unsigned char highest = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) length = 2;
    else if (lead >= 0xE0 && lead <= 0xEF) length = 3;
    else if (lead >= 0xF0 && lead <= 0xF4) length = 4;
    else return wrong("text is not UTF-8");
    if (lead == 0xE0) lowest = 0xA0;
    if (lead == 0xED) highest = 0x9F;
    if (lead == 0xF0) lowest = 0x90;
    if (lead == 0xF4) highest = 0x8F;
    if (text_.size() - at_ < length) return wrong("text is not UTF-8");
    for (std::size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(text_[at_ + i]);
      if (byte < lowest || byte > highest) return wrong("text is not UTF-8");
      lowest = 0x80;
      highest = 0xBF;
    }
    at_ += length;
    return true;
  }

  const std::string_view text_;
  const json_limits limits_;
  std::string* const output_;
  std::size_t at_ = 0;
  std::vector<char> open_;
  name_ledger names_;
  bool has_signed_zero_ = false;
  bool fresh_ = false;  // Nothing has followed the innermost opening bracket yet.
  error failure_;
};

// Writes an object anew, member by member, and puts those of an object in order when it knows them all. What commands are mostly made of,
// text without escapes and short whole numbers, stays as it is; anything else is left to nlohmann's library.
class canonical_form {
 public:
  enum class order { by_name, as_stored };
  explicit canonical_form(std::string_view text, order wanted = order::by_name) : text_(text), order_(wanted) {
    output_.reserve(text.size());
  }

  // Valid after `run`.
  [[nodiscard]] auto mixed() const -> const std::optional<std::string>& { return mixed_; }

  auto run() -> result<std::string> {
    if (next() != '{' || !write_object() || next() != '\0') return error{errc::malformed_payload, "JSON is no object"};
    if (twice_) return error{errc::malformed_payload, "the member " + json_quote(*twice_) + " is there twice"};
    return std::move(output_);
  }

 private:
  struct member {
    std::string_view name;
    std::size_t from = 0;  // Where it stands in the output, without commas.
    std::size_t to = 0;
  };

  // The next character that is no space, NUL at the end.
  auto next() -> char {
    while (at_ < text_.size() && std::string_view(" \n\r\t").find(text_[at_]) != std::string_view::npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  // Copies the next character, if that is what it is.
  auto take(char expected) -> bool {
    if (next() != expected) return false;
    output_.push_back(expected);
    ++at_;
    return true;
  }

  auto write_value() -> bool {
    switch (next()) {
      case '{': return write_object();
      case '[': return write_array();
      case '"': return write_string().has_value();
      default: return write_word();
    }
  }

  auto write_object() -> bool {
    const auto begin = output_.size();
    std::vector<member> members;
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      auto& each = members.emplace_back();
      next();
      each.from = output_.size();
      const auto name = write_string();
      if (!name || !take(':') || !write_value()) return false;
      each.name = *name;
      each.to = output_.size();
    } while (take(','));
    if (!take('}')) return false;
    if (order_ == order::as_stored) note_mixed(members);
    put_in_order(members, begin);
    return true;
  }

  void note_mixed(const std::vector<member>& members) {
    std::size_t unnamed = 0;
    const member* named = nullptr;
    for (const auto& each : members) {
      if (each.name == "value" + std::to_string(unnamed)) ++unnamed;
      else if (named == nullptr) named = &each;
    }
    if (unnamed > 0 && named != nullptr && !mixed_) mixed_ = std::string(named->name);
  }

  void put_in_order(std::vector<member>& members, std::size_t begin) {
    const auto before = [this](const member& left, const member& right) {
      if (order_ == order::as_stored && left.name.size() != right.name.size()) return left.name.size() < right.name.size();
      return left.name < right.name;
    };
    const auto not_before = [&](const member& left, const member& right) { return !before(left, right); };
    if (std::adjacent_find(members.begin(), members.end(), not_before) == members.end()) return;
    std::sort(members.begin(), members.end(), before);
    const auto twin = std::adjacent_find(members.begin(), members.end(), not_before);
    if (twin != members.end() && !twice_) twice_ = std::string(twin->name);
    std::string sorted;
    sorted.reserve(output_.size() - begin);
    for (const auto& each : members) {
      sorted.push_back(sorted.empty() ? '{' : ',');
      sorted.append(output_, each.from, each.to - each.from);
    }
    sorted.push_back('}');
    output_.replace(begin, std::string::npos, sorted);
  }

  auto write_array() -> bool {
    if (!take('[')) return false;
    if (take(']')) return true;
    do
      if (!write_value()) return false;
    while (take(','));
    return take(']');
  }

  // The text that it denotes.
  auto write_string() -> std::optional<std::string_view> {
    if (next() != '"') return std::nullopt;
    const auto from = at_++;
    bool has_escapes = false;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') {
        has_escapes = true;
        ++at_;
      }
    if (at_ >= text_.size()) return std::nullopt;
    ++at_;
    const auto written = text_.substr(from, at_ - from);
    if (!has_escapes) {
      output_.append(written);
      return written.substr(1, written.size() - 2);
    }
    const auto parsed = nlohmann::json::parse(written, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_string()) return std::nullopt;
    output_.append(dump(parsed));
    return unescaped_.emplace_back(parsed.get<std::string>());
  }

  // A number, true, false or null.
  auto write_word() -> bool {
    const auto length = std::min(text_.find_first_of(" \n\r\t,]}", at_), text_.size()) - at_;
    const auto written = text_.substr(at_, length);
    at_ += length;
    if (is_short_number(written)) {
      output_.append(written);
      return true;
    }
    const auto parsed = nlohmann::json::parse(written, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_primitive() || parsed.is_discarded()) return false;
    output_.append(dump(parsed));
    return true;
  }

  // Whole, and in the only way in which it can be written.
  static auto is_short_number(std::string_view word) -> bool {
    const bool is_negative = !word.empty() && word.front() == '-';
    const auto digits = word.substr(is_negative ? 1 : 0);
    if (digits.empty() || digits.size() > 18) return false;
    if (digits.front() == '0' && word.size() > 1) return false;
    return std::all_of(digits.begin(), digits.end(), [](char each) { return each >= '0' && each <= '9'; });
  }

  static auto dump(const nlohmann::json& value) -> std::string {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::string output_;
  std::deque<std::string> unescaped_;  // Names with escapes, as what they denote.
  std::optional<std::string> twice_;
  std::optional<std::string> mixed_;
  const order order_ = order::by_name;
};

}  // namespace

auto json_compact(std::string_view text, json_limits limits) -> result<std::string> {
  auto compact = json_compact_noting(text, limits);
  if (!compact) return std::move(compact).failure();
  return std::move(compact->text);
}

auto json_compact_noting(std::string_view text, json_limits limits) -> result<compact_json> {
  compact_json output;
  output.text.reserve(text.size());
  scanner scan(text, limits, &output.text);
  if (auto checked = scan.run(); !checked) return std::move(checked).failure();
  output.lost_a_sign = scan.has_signed_zero();
  return output;
}

auto json_check(std::string_view text, json_limits limits) -> result<void> {
  return scanner(text, limits, nullptr).run();
}

auto json_has_signed_zero(std::string_view text, json_limits limits) -> result<bool> {
  scanner scan(text, limits, nullptr);
  if (auto checked = scan.run(); !checked) return std::move(checked).failure();
  return scan.has_signed_zero();
}

auto json_members(std::string_view text) -> std::vector<json_member> {
  std::vector<json_member> members;
  std::size_t at = 0;
  const auto is_space = [&] { return std::string_view(" \n\r\t").find(text[at]) != std::string_view::npos; };
  const auto skip_space = [&] {
    while (at < text.size() && is_space()) ++at;
  };
  // From one quote to behind the other.
  const auto skip_string = [&] {
    for (++at; at < text.size() && text[at] != '"'; ++at)
      if (text[at] == '\\') ++at;
    at = std::min(at + 1, text.size());
  };
  skip_space();
  for (++at; skip_space(), at < text.size() && text[at] == '"';) {
    const auto name = at;
    skip_string();
    auto& each = members.emplace_back();
    each.name = unescaped(text.substr(name, at - name));
    skip_space();
    ++at;  // The colon.
    skip_space();
    const auto value = at;
    for (std::size_t depth = 0; at < text.size();) {
      const char byte = text[at];
      if (depth == 0 && (byte == ',' || byte == '}')) break;
      if (byte == '"') {
        skip_string();
        continue;
      }
      if (byte == '{' || byte == '[') ++depth;
      if (byte == '}' || byte == ']') --depth;
      ++at;
    }
    auto end = at;
    while (end > value && std::string_view(" \n\r\t").find(text[end - 1]) != std::string_view::npos) --end;
    each.value = text.substr(value, end - value);
    if (at < text.size() && text[at] == ',') ++at;
  }
  return members;
}

auto json_quote(std::string_view text) -> std::string {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

auto json_canonical(std::string_view text) -> result<std::string> { return canonical_form(text).run(); }

auto json_in_stored_order(std::string_view text) -> std::string {
  auto ordered = canonical_form(text, canonical_form::order::as_stored).run();
  return ordered ? std::move(*ordered) : std::string(text);
}

auto json_mixed_member(std::string_view text) -> std::optional<std::string> {
  canonical_form form(text, canonical_form::order::as_stored);
  (void)form.run();
  return form.mixed();
}

auto command_fingerprint(std::string_view command, std::string_view payload)
    -> result<std::array<std::uint8_t, 16>> {
  auto canonical = json_canonical(payload);
  if (!canonical) return canonical.failure();
  std::string text{command};
  text.push_back('\0');
  text.append(*canonical);
  return sha256_16(text);
}

}  // namespace maestro
