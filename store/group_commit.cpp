#include <maestro/store/group_commit.hpp>

#include <maestro/store/clock.hpp>
#include <maestro/store/event_check.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <chrono>
#include <iterator>
#include <random>
#include <thread>
#include <utility>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;

// So many units of one batch may fail, one after the other, before the batch is cut in halves instead.
constexpr int max_failures_before_halving = 4;

// All who are in one batch get their answers together, and new commands wait for them: each row that turns out to be locked
// is waited for half as long as the one before it. However many there are, and however often they are tried, the waits add up
// to twice the lock timeout, and the pauses between the rounds to about as much.
constexpr std::chrono::milliseconds shortest_lock_wait{1};
constexpr int max_parked_pause = 5;

// How far one request has come: its units in [committed, end) are still to be written.
struct progress {
  const commit_request* request = nullptr;
  std::size_t committed = 0;
  std::size_t end = 0;
  std::size_t doubtful = 0;  // Units before this one may have been written by an attempt whose outcome is not known.
  std::size_t parked = SIZE_MAX;  // Units from this one on are left aside, behind a lock, until the others are through.
  error failure;             // Of the unit at `end`, when that is not the number of units.
  error trouble;             // What kept the store from writing the unit that comes next.

  // The transaction that was in doubt is over, and what is still open was not in it.
  void settled() { doubtful = 0; }

  [[nodiscard]] auto open() const -> bool { return committed < end; }

  // Unit `index` fails, and with it all later ones. Earlier ones are still to be written.
  void cut(std::size_t index, error why) {
    end = index;
    failure = std::move(why);
  }
};

struct pending_unit {
  progress* of = nullptr;
  std::size_t index = 0;

  [[nodiscard]] auto get() const -> const commit_unit& { return of->request->units[index]; }
  [[nodiscard]] auto wanted() const -> bool { return index >= of->committed && index < std::min(of->end, of->parked); }
};
using batch = std::vector<pending_unit>;

// A unit that was refused in a transaction which was then not committed: its projection had seen what units of other requests
// had written there.
struct early_refusal {
  pending_unit unit;
  batch before;         // Those others.
  std::size_t end = 0;  // How the request stood otherwise.
  error failure;
};

auto size_in_bytes(const commit_unit& unit) -> std::size_t {
  std::size_t bytes = 0;
  for (const auto& event : unit.events) bytes += event.body.size() + event.metadata.size();
  return bytes;
}

auto as_write_units(const batch& units) -> std::vector<write_unit> {
  std::vector<write_unit> writes;
  writes.reserve(units.size());
  for (const auto& pending : units) {
    const auto& request = *pending.of->request;
    write_unit write{&request, &pending.get(), {}};
    if (write.unit->events.front().sequence > 1)
      write.predecessor =
          pending.index == 0 ? request.predecessor : request.units[pending.index - 1].events.back().timestamp;
    writes.push_back(write);
  }
  return writes;
}

// One call of group_commit.
class committer {
 public:
  committer(batch_writer& writer, std::span<const commit_request* const> requests, const store_settings& settings,
            const std::function<std::uint64_t()>& expiry_clock)
      : writer_(writer), settings_(settings), expiry_clock_(expiry_clock), requests_(requests.size()), lock_wait_(settings.lock_timeout) {
    std::size_t units = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests_[i].request = requests[i];
      requests_[i].doubtful = requests[i]->in_doubt ? requests[i]->units.size() : 0;
      check(requests_[i]);
      in_order_.push_back(&requests_[i]);
      units += requests[i]->units.size();
    }
    std::stable_sort(in_order_.begin(), in_order_.end(), [](const progress* left, const progress* right) {
      return left->request->aggregate_id < right->request->aggregate_id;
    });
    max_stalled_ = settings.max_retries + static_cast<int>(std::bit_width(units));
  }

  auto run() -> std::vector<commit_outcome> {
    for (int round = 0;; ++round) {
      for (auto& slice : slices(in_order_)) commit(std::move(slice));
      const bool parked = std::any_of(in_order_.begin(), in_order_.end(), [](auto* request) { return request->parked < request->end; });
      if (!parked || given_up_ || round == settings_.max_retries) break;
      for (auto* request : in_order_) request->parked = SIZE_MAX;
      pause(std::min(round, max_parked_pause));
    }
    review_early_refusals();
    return outcomes();
  }

 private:
  void check(progress& of) const {
    sequence_number next = 0;
    timestamp last;
    for (const auto& unit : of.request->units) {
      if (auto checked = check_unit(*of.request, unit, next, last, settings_.max_batch_bytes); !checked) {
        of.cut(of.end, checked.failure());
        return;
      }
      // After the largest sequence comes none: the check refuses what follows.
      next = unit.events.back().sequence == max_sequence() ? -1 : unit.events.back().sequence + 1;
      last = unit.events.back().timestamp;
      ++of.end;
    }
  }

  // All open units of `requests`, in the order they are written, in pieces that respect the bounds of a transaction.
  [[nodiscard]] auto slices(std::span<progress* const> requests) const -> std::vector<batch> {
    std::vector<batch> slices;
    std::size_t events = 0;
    std::size_t bytes = 0;
    for (auto* request : requests)
      for (std::size_t index = request->committed; index < request->end; ++index) {
        const auto& unit = request->request->units[index];
        events += unit.events.size();
        bytes += size_in_bytes(unit);
        if (slices.empty() || events > settings_.max_batch_events || bytes > settings_.max_batch_bytes) {
          slices.emplace_back();
          events = unit.events.size();
          bytes = size_in_bytes(unit);
        }
        slices.back().push_back({request, index});
      }
    return slices;
  }

  // Writes `units`, in as many transactions as it takes. When it returns, each is committed, failed, parked, or given up.
  void commit(batch units) {
    int failures = 0;
    int fruitless = 0;
    while (keep_wanted(units)) {
      const auto writes = as_write_units(units);
      if (is_overdue(units)) {
        (void)look(units, writes);
        if (in_trouble_) leave_in_doubt(units);
        continue;
      }
      write_outcome outcome = writer_.write(writes, lock_wait_);
      switch (outcome.status) {
        case write_status::committed:
          answered();
          for (auto& [index, failure] : outcome.refused) refuse(units.at(index), std::move(failure));
          for (const auto& unit : units) {
            unit.of->settled();
            if (unit.index < unit.of->end) unit.of->committed = unit.index + 1;
          }
          return;

        case write_status::failed:
          // What may be there already was perhaps not looked for.
          if (std::any_of(units.begin(), units.end(), is_doubtful) && look(units, writes)) break;
          answered();
          for (const auto& unit : units) unit.of->settled();
          if (units.size() == 1) outcome.culprit = 0;
          if (outcome.culprit) refuse_early(units, *outcome.culprit, std::move(outcome.failure));
          if (!outcome.culprit || ++failures == max_failures_before_halving) return commit_halves(std::move(units));
          break;

        case write_status::conflict:
          if (look(units, writes)) break;
          if (units.size() > 1) return commit_halves(std::move(units));
          // The log shows no reason, and still refuses: only another evaluation can help.
          if (++fruitless > settings_.max_retries)
            units.front().of->cut(units.front().index, {errc::retry_command, "the log refuses the events"});
          else pause(fruitless);
          break;

        case write_status::contention:
          trouble_ = {errc::store_unavailable, "another transaction holds what this one needs, it can be tried again: " +
                                                   outcome.failure.message};
          lost_since_.reset();
          // Locks on single rows leave something to commit in between; a lock on everything does not.
          for (const auto& unit : units) unit.of->trouble = trouble_;
          if (++stalled_ > max_stalled_) {
            given_up_ = true;
            break;
          }
          if (outcome.culprit) lock_wait_ = std::max(lock_wait_ / 2, shortest_lock_wait);
          if (units.size() == 1) outcome.culprit = 0;
          if (!outcome.culprit) return commit_halves(std::move(units));
          units[*outcome.culprit].of->parked = units[*outcome.culprit].index;
          return commit_one_by_one(units);

        case write_status::in_doubt:
          for (const auto& unit : units) unit.of->doubtful = std::max(unit.of->doubtful, unit.index + 1);
          [[fallthrough]];
        case write_status::unavailable:
          wait_for_store(std::move(outcome.failure));
          break;
      }
    }
  }

  void commit_halves(batch units) {
    if (stalled_ > 0) pause(0);
    const auto middle = units.begin() + static_cast<std::ptrdiff_t>(units.size() / 2);
    commit({units.begin(), middle});
    commit({middle, units.end()});
  }

  // Two nodes whose batches hold rows that the other waits for stand still until a lock timeout, again and again for as long
  // as both come with batches. A unit alone holds little, and not for long. (Measured, two nodes with batches of eight in
  // opposite order: 0.3 s for the longest commit; 1.4 s when all but the unit that met the lock went together again.)
  void commit_one_by_one(const batch& units) {
    for (const auto& unit : units) commit({unit});
  }

  // Drops what must not be sent (any more). False when nothing is left.
  auto keep_wanted(batch& units) -> bool {
    if (given_up_) return false;
    const std::uint64_t now = expiry_clock_();
    for (const auto& unit : units) {
      const std::uint64_t expires_at = unit.get().expires_at;
      // What may have been written already is no longer ours to drop.
      if (expires_at != 0 && now > expires_at && unit.index >= unit.of->doubtful && unit.wanted()) expire(unit);
    }
    std::erase_if(units, [](const auto& unit) { return !unit.wanted(); });
    return !units.empty();
  }

  void expire(const pending_unit& unit) const {
    error why{errc::timed_out, "the command expired before it was sent to the store"};
    if (in_trouble_) unit.of->trouble = trouble_;
    if (unit.of->trouble) why.message = "the command expired before it could be written: " + unit.of->trouble.message;
    unit.of->cut(unit.index, std::move(why));
  }

  [[nodiscard]] static auto is_doubtful(const pending_unit& unit) -> bool { return unit.index < unit.of->doubtful; }

  // Whether a unit's time is over that may have been written already: then the log decides, and nothing is sent.
  [[nodiscard]] auto is_overdue(const batch& units) const -> bool {
    const std::uint64_t now = expiry_clock_();
    return std::any_of(units.begin(), units.end(), [now](const auto& unit) { return is_overdue(unit, now); });
  }
  [[nodiscard]] static auto is_overdue(const pending_unit& unit, std::uint64_t now) -> bool {
    const std::uint64_t expires_at = unit.get().expires_at;
    return expires_at != 0 && now > expires_at && is_doubtful(unit);
  }

  // What has become of the units whose time is over cannot be read: they stay in doubt, and hold up no others.
  void leave_in_doubt(const batch& units) {
    for (const auto& unit : units) {
      if (!unit.wanted() || !is_overdue(unit, expiry_clock_())) continue;
      unit.of->trouble = trouble_;
      unit.of->cut(unit.of->committed, lost_while_committing(trouble_));
    }
  }

  [[nodiscard]] static auto lost_while_committing(const error& why) -> error {
    return {errc::in_doubt, "the connection was lost while committing: " + why.message};
  }
  [[nodiscard]] auto outcome_of(const progress& request) const -> commit_outcome {
    if (!request.open()) return {request.committed, request.failure, request.trouble};
    if (request.committed < request.doubtful) return {request.committed, lost_while_committing(trouble_), trouble_};
    return {request.committed, trouble_, trouble_};
  }

  void refuse(const pending_unit& unit, error why) {
    if (!why) why = {errc::internal_error, "the store refused the events without a reason"};
    unit.of->cut(unit.index, std::move(why));
  }

  void refuse_early(const batch& units, std::size_t culprit, error why) {
    const auto& unit = units.at(culprit);
    batch before;
    std::copy_if(units.begin(), units.begin() + static_cast<std::ptrdiff_t>(culprit), std::back_inserter(before),
                 [&](const auto& other) { return other.of != unit.of; });
    if (!before.empty()) early_refusals_.push_back({unit, std::move(before), unit.of->end, unit.of->failure});
    refuse(unit, std::move(why));
  }

  // A refusal stands when all that the projection had seen is there now. Otherwise the unit is tried once more, its request
  // alone, so that nobody fails for what was never committed. The newest first: it is the earliest of its request.
  void review_early_refusals() {
    for (auto refusal = early_refusals_.rbegin(); refusal != early_refusals_.rend(); ++refusal) {
      progress* const of = refusal->unit.of;
      const bool stands = std::all_of(refusal->before.begin(), refusal->before.end(),
                                      [](const auto& unit) { return unit.index < unit.of->committed; });
      if (stands || of->end != refusal->unit.index) continue;
      of->end = refusal->end;
      of->failure = std::move(refusal->failure);
      for (auto& slice : slices({&of, 1})) commit(std::move(slice));
    }
  }

  // Finds out which units are there already, and which can never be written. False when that changed nothing.
  auto look(const batch& units, std::span<const write_unit> writes) -> bool {
    auto found = writer_.inspect(writes);
    if (!found && found.failure().is_damage) {
      answered();
      if (units.size() > 1) return look_at_halves(units, writes);
      set_aside(units.front(), found.failure());
      return true;
    }
    if (!found) {
      wait_for_store(found.failure());
      return true;
    }
    assert(found->size() == units.size());
    answered();
    bool changed = false;
    for (std::size_t i = 0; i < units.size(); ++i) {
      const auto& [of, index] = units[i];
      if (!units[i].wanted() || index != of->committed) continue;
      const unit_status& status = (*found)[i];
      if (status.stored) {
        of->committed = index + 1;
        changed = true;
        continue;
      }
      of->settled();
      const bool fits = !status.timestamp_taken && status.newest == writes[i].predecessor &&
                        status.newest_sequence == units[i].get().events.front().sequence - 1;
      if (fits) continue;
      of->cut(index, {errc::retry_command, "sequence " + std::to_string(units[i].get().events.front().sequence) +
                                               " of aggregate " + of->request->aggregate_id.text() +
                                               " does not follow its newest event (any more)"});
      changed = true;
    }
    return changed;
  }

  // What is damaged may be that of one aggregate.
  auto look_at_halves(const batch& units, std::span<const write_unit> writes) -> bool {
    const auto half = units.size() / 2;
    const auto middle = units.begin() + static_cast<std::ptrdiff_t>(half);
    const bool first_changed = look({units.begin(), middle}, writes.first(half));
    if (in_trouble_) return true;
    const bool second_changed = look({middle, units.end()}, writes.subspan(half));
    return first_changed || second_changed;
  }

  // What the log holds of the unit cannot be read: it goes no further, and holds up no others.
  static void set_aside(const pending_unit& unit, const error& why) {
    if (!unit.wanted()) return;
    unit.of->trouble = why;
    if (!is_doubtful(unit)) return unit.of->cut(unit.index, why);
    error doubt{errc::in_doubt, "what became of the commit cannot be looked up: " + why.message};
    doubt.is_damage = true;
    unit.of->cut(unit.index, std::move(doubt));
  }

  // The store answered: whatever was lost is back, and something moves.
  void answered() {
    in_trouble_ = false;
    lost_since_.reset();
    losses_ = 0;
    stalled_ = 0;
  }

  void wait_for_store(error why) {
    trouble_ = why ? std::move(why) : error{errc::store_unavailable, "the store cannot be reached"};
    in_trouble_ = true;
    const auto now = steady_clock::now();
    if (!lost_since_) lost_since_ = now;
    if (now - *lost_since_ >= settings_.reconnect_limit || writer_.is_cut_off()) given_up_ = true;
    else pause(losses_++);
  }

  // 1 ms, 2 ms, 4 ms ... up to 128 ms, give or take a half, so that those who collided do not do so again.
  static void pause(int attempt) {
    static thread_local std::minstd_rand random{std::random_device{}()};
    std::uniform_real_distribution<double> factor(0.5, 1.5);
    const double milliseconds = static_cast<double>(1 << std::min(attempt, 7)) * factor(random);
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(milliseconds));
  }

  [[nodiscard]] auto outcomes() const -> std::vector<commit_outcome> {
    std::vector<commit_outcome> outcomes;
    outcomes.reserve(requests_.size());
    for (const auto& request : requests_) {
      auto& outcome = outcomes.emplace_back(outcome_of(request));
      outcome.is_final = outcome.failure.code == errc::in_doubt && (writer_.is_cut_off() || outcome.failure.is_damage);
    }
    return outcomes;
  }

  batch_writer& writer_;
  const store_settings& settings_;
  const std::function<std::uint64_t()> expiry_clock_;
  std::vector<progress> requests_;
  std::vector<early_refusal> early_refusals_;
  std::vector<progress*> in_order_;  // By aggregate id, so that two writers lock in the same order.
  int max_stalled_ = 0;
  std::chrono::milliseconds lock_wait_;  // How long the next transaction's projections wait for a lock.
  int stalled_ = 0;  // Transactions given up for a lock since something last moved.
  std::optional<steady_clock::time_point> lost_since_;
  int losses_ = 0;
  bool given_up_ = false;
  error trouble_;  // Why what is still open could not be written.
  bool in_trouble_ = false;  // The store has not answered since.
};

}  // namespace

auto group_commit(batch_writer& writer, std::span<const commit_request* const> requests, const store_settings& settings,
                  const std::function<std::uint64_t()>& expiry_clock) -> std::vector<commit_outcome> {
  if (expiry_clock) return committer(writer, requests, settings, expiry_clock).run();
  const auto node_time = [&settings] { return expiry_milliseconds(settings.clock_offset); };
  return committer(writer, requests, settings, node_time).run();
}

}  // namespace maestro
