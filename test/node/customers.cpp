#include "customers.hpp"

#include "account.hpp"
#include "process.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace maestro::test {

namespace {

using steady_clock = std::chrono::steady_clock;

auto name_of(std::int64_t account) -> std::string { return "holder " + std::to_string(account); }

void keep(sent_command& of, const receipt& got) {
  of.command_id = got.command_id;
  if (!got.answer.failure) {
    of.known = verdict::accepted;
    of.first = got.answer.first;
    of.last = got.answer.last;
  } else if (const auto kind = got.answer.failure.kind(); kind == error_kind::rejected || kind == error_kind::retryable) {
    of.known = verdict::refused;
  }
}

}  // namespace

customers::customers(const std::vector<node_address>& nodes, std::uint64_t seed, std::chrono::milliseconds timeout) : random_(seed) {
  auto connected = client::connect(nodes, {timeout});
  BOOST_TEST_REQUIRE(connected.has_value());
  client_ = std::move(*connected);
  open_accounts();
  thread_ = std::thread([this] { run(); });
}

void customers::stop() {
  enough_ = true;
  if (thread_.joinable()) thread_.join();
}

void customers::wait_until_over() {
  for (auto& each : commands_) {
    if (each.known != verdict::in_doubt) continue;
    send_options again;
    again.command_id = each.command_id;
    again.timeout = patience;
    const auto got = client_->send_json(each.aggregate_type, each.aggregate_id, each.name, each.payload, again);
    // Put off, it is as much in doubt as before.
    if (!got.answer.failure || got.answer.failure.kind() != error_kind::retryable) keep(each, got);
    BOOST_TEST_REQUIRE((each.known != verdict::in_doubt), to_string(got.answer.failure));
    open_.emplace_back(bank::transfer::id(each.aggregate_id), &each).answered = true;
  }
  for (; !open_.empty(); open_.pop_front()) {
    const auto deadline = steady_clock::now() + 2 * patience;
    while (!is_over(open_.front()))
      BOOST_TEST_REQUIRE((steady_clock::now() < deadline), "transfer " << open_.front().id.value.text() << " is " << last_seen_);
  }
}

template <class Aggregate, class Command>
auto customers::note(const typed_id<Aggregate>& id, const Command& command) -> sent_command& {
  sent_command made;
  made.aggregate_type = Aggregate::type;
  made.aggregate_id = id.value;
  made.name = registered_name<Command>();
  made.payload = encode(command).value();
  return commands_.emplace_back(std::move(made));
}

void customers::open_accounts() {
  const auto must = [this](const auto& account, const auto& command) {
    auto& noted = note(account, command);
    const auto got = client_->send(account, command);
    keep(noted, got);
    BOOST_TEST_REQUIRE(!got.answer.failure, to_string(got.answer.failure));
  };
  for (int i = 0; i < accounts; ++i) {
    const auto account = bank::account::id::named(name_of(i));
    must(account, bank::open{name_of(i), "@" + name_of(i)});
    must(account, bank::deposit{each_begins_with});
  }
}

void customers::run() {
  while (!enough_) {
    if (open_.size() < most_open) begin();
    else if (is_over(open_.front())) open_.pop_front();
  }
  for (std::ptrdiff_t i = 0; i < outstanding; ++i) free_.acquire();
}

void customers::begin() {
  free_.acquire();
  const auto from = pick(0, accounts - 1);
  const auto to = pick(1, 10) == 1 ? accounts + 7 : (from + pick(1, accounts - 1)) % accounts;
  const bank::begin command{name_of(from), name_of(to), pick(1, 400)};
  const auto id = bank::transfer::id::fresh(clock_);
  auto& of = open_.emplace_back(id, &note(id, command));
  const auto sent = steady_clock::now();
  client_->send_async(id, command, {}, [this, &of, sent](const receipt& got) {
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - sent).count();
    if (took > longest_) longest_ = took;  // Answers come one at a time.
    keep(*of.begin, got);
    of.answered = true;
    free_.release();
  });
}

// One that has not begun, and will not any more, is over too.
auto customers::is_over(const begun_transfer& of) -> bool {
  const bool answered = of.answered;
  const auto found = client_->fetch(of.id);
  last_seen_ = found ? found->value.stage : to_string(found.failure());
  if (found && found->value.stage.empty()) return answered;
  const bool over = answered && (last_seen_ == bank::stage::done || last_seen_ == bank::stage::failed);
  if (!over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return over;
}

}  // namespace maestro::test
