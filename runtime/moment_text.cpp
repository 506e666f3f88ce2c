#include <maestro/runtime/moment_text.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace maestro {

namespace {

// Takes what is expected from the front of a text.
class reader {
 public:
  explicit reader(std::string_view text) : left_(text) {}

  auto number(std::size_t digits) -> int {
    int value = 0;
    const auto part = left_.substr(0, digits);
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), value);
    if (part.size() != digits || part.front() < '0' || parsed.ptr != part.data() + digits) wrong_ = true;
    left_.remove_prefix(part.size());
    return value;
  }
  auto take(char letter) -> bool {
    if (!left_.starts_with(letter)) return false;
    left_.remove_prefix(1);
    return true;
  }
  void expect(char letter) { wrong_ = !take(letter) || wrong_; }
  // Milliseconds, from one digit to nine after the point.
  auto fraction() -> int {
    std::string digits;
    while (!left_.empty() && left_.front() >= '0' && left_.front() <= '9' && digits.size() < 9) {
      digits += left_.front();
      left_.remove_prefix(1);
    }
    wrong_ = wrong_ || digits.empty();
    digits.resize(3, '0');
    return wrong_ ? 0 : std::stoi(digits);
  }
  [[nodiscard]] auto is_right() const -> bool { return !wrong_ && left_.empty(); }

 private:
  std::string_view left_;
  bool wrong_ = false;
};

auto parse_time(std::string_view text) -> std::optional<std::uint64_t> {
  using namespace std::chrono;
  reader from(text);
  const int years = from.number(4);
  from.expect('-');
  const int months = from.number(2);
  from.expect('-');
  const int days_of_month = from.number(2);
  from.expect('T');
  const int hour = from.number(2);
  from.expect(':');
  const int minute = from.number(2);
  from.expect(':');
  const int second = from.number(2);
  const int millisecond = from.take('.') ? from.fraction() : 0;
  minutes offset{0};
  bool offset_is_right = true;
  if (!from.take('Z')) {
    const bool west = from.take('-');
    if (!west) from.expect('+');
    const int offset_hours = from.number(2);
    from.expect(':');
    const int offset_minutes = from.number(2);
    offset_is_right = offset_hours < 24 && offset_minutes < 60;
    offset = hours(offset_hours) + minutes(offset_minutes);
    if (west) offset = -offset;
  }
  const year_month_day date{year(years), month(static_cast<unsigned>(months)), day(static_cast<unsigned>(days_of_month))};
  if (!from.is_right() || !date.ok() || hour > 23 || minute > 59 || second > 59 || !offset_is_right) return std::nullopt;
  const auto time = sys_days(date) + hours(hour) + minutes(minute) + seconds(second) + milliseconds(millisecond) - offset;
  const auto count = duration_cast<milliseconds>(time.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

}  // namespace

auto parse_moment(std::string_view text) -> result<moment> {
  sequence_number sequence = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), sequence);
  if (!text.empty() && parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && sequence >= 0) return moment{sequence};
  if (const auto time = parse_time(text)) return moment{max_sequence(), time};
  return error{errc::invalid_argument, "\"" + std::string(text) + "\" is no sequence (0 to " + std::to_string(max_sequence()) +
                                           ") and no time; write one as 2026-11-24T20:15:00Z"};
}

}  // namespace maestro
