#include <maestro/aggregates/state_diff.hpp>

#include <maestro/aggregates/recorded_rejection.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace maestro {

namespace {

using json = nlohmann::ordered_json;

// As a part of a JSON pointer.
auto escaped(std::string_view key) -> std::string {
  std::string part;
  for (const char each : key) {
    if (each == '~') part += "~0";
    else if (each == '/') part += "~1";
    else part += each;
  }
  return part;
}

// Collects what is different, as text, and stops beyond `max_bytes` of it. One pass over both documents: a state's members
// come in the same order each time.
class comparison {
 public:
  explicit comparison(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void compare(const json& before, const json& after, const std::string& path) {
    if (is_too_long()) return;
    if (before.type() == after.type() && before.is_object()) return compare_objects(before, after, path);
    if (before.type() == after.type() && before.is_array()) return compare_arrays(before, after, path);
    if (before != after) add(path, &before, &after);
  }
  /// JSON objects with commas between them.
  [[nodiscard]] auto changes() const -> const std::string& { return changes_; }
  [[nodiscard]] auto is_too_long() const -> bool { return changes_.size() > max_bytes_; }

 private:
  void compare_objects(const json& before, const json& after, const std::string& path) {
    std::unordered_map<std::string_view, const json*> by_key;
    auto next = after.begin();
    std::size_t found = 0;
    for (auto member = before.begin(); member != before.end(); ++member) {
      const json* other = nullptr;
      if (next != after.end() && next.key() == member.key()) {
        other = &*next++;
      } else {
        if (by_key.empty())
          for (auto each = after.begin(); each != after.end(); ++each) by_key.emplace(each.key(), &*each);
        if (const auto at = by_key.find(member.key()); at != by_key.end()) other = at->second;
      }
      if (other == nullptr) {
        add(path + '/' + escaped(member.key()), &*member, nullptr);
        continue;
      }
      ++found;
      if (*member != *other) compare(*member, *other, path + '/' + escaped(member.key()));
    }
    if (found == after.size()) return;
    std::unordered_map<std::string_view, const json*> known;
    for (auto each = before.begin(); each != before.end(); ++each) known.emplace(each.key(), &*each);
    for (auto each = after.begin(); each != after.end(); ++each)
      if (!known.contains(each.key())) add(path + '/' + escaped(each.key()), nullptr, &*each);
  }
  void compare_arrays(const json& before, const json& after, const std::string& path) {
    const auto common = std::min(before.size(), after.size());
    for (std::size_t i = 0; i < common; ++i)
      if (before[i] != after[i]) compare(before[i], after[i], path + '/' + std::to_string(i));
    // What is gone, from the end on; what is new is behind the end.
    for (std::size_t i = before.size(); i > common; --i) add(path + '/' + std::to_string(i - 1), &before[i - 1], nullptr);
    for (std::size_t i = common; i < after.size(); ++i) add(path + "/-", nullptr, &after[i]);
  }
  void add(const std::string& path, const json* before, const json* after) {
    if (is_too_long()) return;
    changes_ += changes_.empty() ? "" : ",";
    changes_ += R"({"path":)" + json(path).dump();
    if (before != nullptr) changes_ += R"(,"from":)" + before->dump();
    if (after != nullptr) changes_ += R"(,"to":)" + after->dump();
    changes_ += '}';
  }

  const std::size_t max_bytes_;
  std::string changes_;
};

// Nothing where it takes more than `room`.
auto differences(const json& before, const json& after, std::size_t room) -> std::optional<std::string> {
  comparison both(room);
  both.compare(before, after, "");
  return both.is_too_long() ? std::nullopt : std::optional(both.changes());
}

}  // namespace

struct state_diff_walk::documents {
  json first;
  json latest;
};

state_diff_walk::state_diff_walk(const definition& type, const aggregate_id& id, const moment& from, const moment& to,
                                 const diff_limits& limits)
    : type_(type), id_(id), from_(from), to_(to), limits_(limits), pages_(limits.page_events) {}

state_diff_walk::~state_diff_walk() = default;

auto state_diff_walk::work(store& with, const go_on& more) -> result<bool> {
  if (!is_measured_) {
    if (auto measured = measure(with); !measured) return measured.failure();
    is_measured_ = true;
    hydration_.emplace(type_, id_, moment{first_}, limits_.page_events);
  }
  if (!at_.state) {
    auto complete = hydration_->read(with, more);
    if (!complete || !*complete) return complete;
    at_ = std::move(hydration_->at());
    if (auto shown = show_first(); !shown) return shown.failure();
  }
  while (at_.sequence < last_) {
    if (next_ == page_.size()) {
      auto page = with.get_events(id_, {at_.sequence, last_, pages_.next()});
      if (!page) return page.failure();
      if (page->empty()) break;
      pages_.saw(*page);
      page_ = std::move(*page);
      next_ = 0;
    }
    if (auto followed = follow(page_[next_++]); !followed) return followed.failure();
    if (!more()) return false;
  }
  return true;
}

auto state_diff_walk::text() const -> result<std::string> {
  const auto changes = differences(documents_->first, documents_->latest, room());
  if (!changes) return too_much();
  return R"({"from":{"sequence":)" + std::to_string(first_) + R"(},"to":{"sequence":)" + std::to_string(at_.sequence) +
         R"(},"changes":[)" + *changes + R"(],"events":[)" + events_ + "]}";
}

auto state_diff_walk::room() const -> std::size_t {
  return limits_.max_bytes - std::min(limits_.max_bytes, events_.size());
}

auto state_diff_walk::too_much() const -> error {
  return {errc::invalid_argument, "up to sequence " + std::to_string(at_.sequence) + " the changes take more than " +
                                      std::to_string(limits_.max_bytes) +
                                      " bytes (aggregate.max-diff-bytes); choose points that are nearer"};
}

// Finds out how far it is, so that a walk which would be too long costs next to nothing.
auto state_diff_walk::measure(store& with) -> result<void> {
  const auto heads = with.get_heads({&id_, 1});
  if (!heads) return heads.failure();
  const sequence_number newest = heads->empty() ? 0 : heads->front().sequence;
  const auto first = sequence_of(with, from_, newest);
  if (!first) return first.failure();
  const auto last = sequence_of(with, to_, newest);
  if (!last) return last.failure();
  if (*last < *first)
    return error{errc::invalid_argument, "sequence " + std::to_string(*last) + " lies before sequence " + std::to_string(*first) +
                                             "; name the earlier point first"};
  if (static_cast<std::size_t>(*last - *first) > limits_.max_events)
    return error{errc::invalid_argument, std::to_string(*last - *first) + " events lie between the two points, at most " +
                                             std::to_string(limits_.max_events) +
                                             " are followed (aggregate.max-diff-events); choose points that are nearer"};
  first_ = *first;
  last_ = *last;
  return {};
}

// An aggregate's timestamps grow with its sequences, so that a time is found by halving.
auto state_diff_walk::sequence_of(store& with, const moment& point, sequence_number newest) const -> result<sequence_number> {
  sequence_number low = 0;  // Not later than the point.
  sequence_number high = std::min(point.sequence, newest);
  if (!point.time) return high;
  while (low < high) {
    const sequence_number middle = low + (high - low + 1) / 2;
    const auto row = with.get_events(id_, {middle - 1, middle, 1});
    if (!row) return row.failure();
    if (!row->empty() && row->front().timestamp.milliseconds() <= *point.time) low = middle;
    else high = middle - 1;
  }
  return low;
}

auto state_diff_walk::show_first() -> result<void> {
  auto text = type_.encode_state(at_.state);
  if (!text) return text.failure();
  shown_ = std::move(*text);
  auto document = json::parse(shown_);
  documents_ = std::make_unique<documents>(documents{document, document});
  return {};
}

auto state_diff_walk::follow(const event& row) -> result<void> {
  if (auto entered = enter(at_, type_, row); !entered) return entered.failure();
  if (!events_.empty()) events_ += ',';
  events_ += R"({"sequence":)" + std::to_string(row.sequence) + R"(,"timestamp":")" + row.timestamp.text() +
             R"(","type":)" + json(row.type).dump();
  if (row.command_id) events_ += R"(,"command_id":")" + row.command_id->text() + '"';
  auto changes = show_next(row);
  if (!changes) return changes.failure();
  events_ += R"(,"changes":[)" + *changes + "]}";
  if (events_.size() > limits_.max_bytes) return too_much();
  return {};
}

// What `row` has changed.
auto state_diff_walk::show_next(const event& row) -> result<std::string> {
  if (records_rejection(row.type)) return std::string();
  auto text = type_.encode_state(at_.state);
  if (!text) return text.failure();
  if (*text == shown_) return std::string();
  json next = json::parse(*text);
  auto changes = differences(documents_->latest, next, room());
  if (!changes) return too_much();
  documents_->latest = std::move(next);
  shown_ = std::move(*text);
  return *std::move(changes);
}

auto state_diff(store& with, const definition& type, const aggregate_id& id, const moment& from, const moment& to,
                const diff_limits& limits) -> result<std::string> {
  state_diff_walk walk(type, id, from, to, limits);
  const auto done = walk.work(with, [] { return true; });
  if (!done) return done.failure();
  return walk.text();
}

}  // namespace maestro
