#include "race.hpp"

#include "dice.hpp"
#include "history_model.hpp"
#include "history_text.hpp"
#include "request_maker.hpp"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>
#include <vector>

namespace maestro::test {

namespace {

constexpr std::size_t aggregates = 5;
// So many batches without winning anything mean that the store refuses for good.
constexpr int max_losses_in_a_row = 10'000;

// The committed units of one aggregate: the number of their events, by the command that each is known by.
using committed_units = std::map<command_id, std::size_t>;
using record = std::map<aggregate_id, committed_units>;

// One who commits, and remembers what it was told.
class racer {
 public:
  racer(database& opened, std::span<const aggregate_id> ids, std::uint64_t seed, std::size_t units)
      : writer_(opened.open_writer()), reader_(opened.open_reader()), ids_(ids), chance_(seed), units_(units) {}

  void run() {
    for (int losses = 0; !failure_ && !is_done() && losses < max_losses_in_a_row; ++losses)
      if (commit_batch()) losses = 0;
    if (!failure_ && !is_done()) failure_ = "a writer was never let through";
  }

  [[nodiscard]] auto told() const -> const record& { return told_; }
  [[nodiscard]] auto failure() const -> const std::optional<std::string>& { return failure_; }

 private:
  auto is_done() -> bool {
    return std::all_of(ids_.begin(), ids_.end(), [this](const auto& id) { return told_[id].size() >= units_; });
  }

  // False when no unit was committed.
  auto commit_batch() -> bool {
    const auto heads = reader_->get_heads(ids_);
    if (!heads) return fail("get_heads: " + to_string(heads.failure()));
    std::vector<commit_request> requests;
    for (const auto& id : ids_)
      if (told_[id].size() < units_) requests.push_back(next_request(id, *heads));
    std::vector<const commit_request*> batch;
    for (const auto& request : requests) batch.push_back(&request);
    const auto outcomes = writer_->commit_all(batch);
    bool won = false;
    for (std::size_t i = 0; i < requests.size(); ++i) won = note(requests[i], outcomes.at(i)) || won;
    return won;
  }

  auto next_request(const aggregate_id& id, const std::vector<aggregate_head>& heads) -> commit_request {
    const auto found =
        std::find_if(heads.begin(), heads.end(), [&](const auto& head) { return head.aggregate_id == id; });
    const auto head = found == heads.end() ? aggregate_head{id, 0, {}} : *found;
    auto request = make_.request(id, chance_.between(1, 2), chance_.between(1, 4), head.sequence, head.timestamp);
    for (auto& unit : request.units) {
      unit.projector = history_projector();
      for (auto& event : unit.events) event.command_id = command_id{unit.events.front().timestamp.bytes};
    }
    return request;
  }

  auto note(const commit_request& request, const commit_outcome& outcome) -> bool {
    for (std::size_t i = 0; i < outcome.committed; ++i)
      told_[request.aggregate_id][*request.units[i].events.front().command_id] = request.units[i].events.size();
    if (outcome.failure && outcome.failure.code != errc::retry_command)
      return fail("commit: " + to_string(outcome.failure));
    return outcome.committed > 0;
  }

  auto fail(std::string why) -> bool {
    failure_ = std::move(why);
    return false;
  }

  std::unique_ptr<store> writer_;
  std::unique_ptr<store> reader_;
  std::span<const aggregate_id> ids_;
  dice chance_;
  std::size_t units_;
  request_maker make_;
  record told_;
  std::optional<std::string> failure_;
};

// What each event of the log must be like, in the order in which the log has the commands; then the commands that it
// lacks.
auto expected_lines(const std::vector<event>& events, committed_units told) -> lines {
  lines expected;
  for (std::size_t i = 0; i < events.size();) {
    const auto unit = told.find(events[i].command_id.value_or(command_id{}));
    if (unit == told.end()) return expected;
    for (std::size_t end = i + unit->second; i < end; ++i)
      expected.push_back(std::to_string(i + 1) + " by " + unit->first.text());
    told.erase(unit);
  }
  for (const auto& [command, size] : told) expected.push_back(std::to_string(size) + " events by " + command.text());
  return expected;
}

auto found_lines(const std::vector<event>& events) -> lines {
  lines found;
  for (const auto& event : events)
    found.push_back(std::to_string(event.sequence) + " by " + event.command_id.value_or(command_id{}).text());
  return found;
}

auto check_log(store& from, const aggregate_id& id, const committed_units& told) -> std::optional<std::string> {
  const auto events = from.get_events(id, {0, store::max_sequence(), SIZE_MAX / 4});
  if (!events) return "get_events: " + to_string(events.failure());
  if (auto differs = difference(expected_lines(*events, told), found_lines(*events))) return "log, " + *differs;
  // A unit's timestamps increase: that is the order in which it was submitted.
  for (std::size_t i = 1; i < events->size(); ++i)
    if ((*events)[i].command_id == (*events)[i - 1].command_id && (*events)[i].timestamp <= (*events)[i - 1].timestamp)
      return "log, out of order: " + text_of((*events)[i]);
  const auto size = static_cast<std::int64_t>(events->size());
  auto differs = difference({text_of(sql_row{size, size})},
                            lines_of(from.query("SELECT events, newest FROM history_counts WHERE aggregate_id = $1",
                                                std::vector<sql_value>{id})));
  return differs ? "projection, " + *differs : differs;
}

auto run_race(std::span<const std::shared_ptr<database>> opened, std::uint64_t seed, std::size_t units)
    -> std::optional<std::string> {
  if (const auto migrated = opened.front()->migrate(history_tables()); !migrated)
    return "migrate: " + to_string(migrated.failure());
  request_maker make;
  std::vector<aggregate_id> ids;
  while (ids.size() < aggregates) ids.push_back(make.fresh_id());

  std::vector<std::unique_ptr<racer>> racers;
  for (const auto& database : opened)
    racers.push_back(std::make_unique<racer>(*database, ids, seed + racers.size(), units));
  std::vector<std::thread> threads;
  for (auto& racer : racers) threads.emplace_back([&racer] { racer->run(); });
  for (auto& thread : threads) thread.join();

  record told;
  for (const auto& racer : racers) {
    if (racer->failure()) return racer->failure();
    for (const auto& [id, committed] : racer->told()) told[id].insert(committed.begin(), committed.end());
  }
  const auto reader = opened.front()->open_reader();
  for (const auto& [id, committed] : told)
    if (const auto differs = check_log(*reader, id, committed)) return "aggregate " + id.text() + ": " + *differs;
  return std::nullopt;
}

}  // namespace

auto check_race(std::span<const std::shared_ptr<database>> opened, std::uint64_t seed, std::size_t units)
    -> std::optional<std::string> {
  auto found = run_race(opened, seed, units);
  if (found) *found = "MAESTRO_TEST_SEED=" + std::to_string(seed) + ", " + *found;
  return found;
}

}  // namespace maestro::test
