#include <maestro/store/json.hpp>

#include <maestro/store/id.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>
#include <vector>

namespace maestro {

namespace {

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
    return scan_string() && take(':', "':' expected") && scan_value();
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
    const std::string number{text_.substr(from, at_ - from)};
    if (std::isinf(std::strtod(number.c_str(), nullptr))) return wrong("a number beyond the range of a double");
    keep(from);
    return true;
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
  bool fresh_ = false;  // Nothing has followed the innermost opening bracket yet.
  error failure_;
};

}  // namespace

auto json_compact(std::string_view text, json_limits limits) -> result<std::string> {
  std::string output;
  output.reserve(text.size());
  if (auto checked = scanner(text, limits, &output).run(); !checked) return checked.failure();
  return output;
}

auto json_check(std::string_view text, json_limits limits) -> result<void> {
  return scanner(text, limits, nullptr).run();
}

auto json_quote(std::string_view text) -> std::string {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

auto json_canonical(std::string_view text) -> result<std::string> {
  using event = nlohmann::json::parse_event_t;
  std::vector<std::set<std::string>> names;  // Of the members seen so far, for each open object.
  std::optional<std::string> twice;
  const auto watch = [&](int, event what, nlohmann::json& value) {
    if (what == event::object_start) names.emplace_back();
    if (what == event::object_end) names.pop_back();
    if (what == event::key && !names.back().insert(value.get<std::string>()).second && !twice) twice = value.get<std::string>();
    return true;
  };
  auto document = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  if (twice) return error{errc::malformed_payload, "the member " + json_quote(*twice) + " is there twice"};
  if (!document.is_object()) return error{errc::malformed_payload, "JSON is no object"};
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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
