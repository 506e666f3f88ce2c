#include "transfer_driver.hpp"

#include "account.hpp"
#include "transfer.hpp"

#include <chrono>
#include <utility>

namespace bank {

namespace {

constexpr std::size_t most_at_once = 64;
constexpr auto pause_between_looks = std::chrono::milliseconds(50);

template <class Id>
auto id_from(const maestro::sql_value& value) -> Id {
  return Id::from_bytes(value.as<maestro::sql_bytes>().bytes).value_or(Id{});
}

}  // namespace

transfer_driver::transfer_driver(maestro::node& node)
    : reader_(node.open_reader()), client_(node.local_client()), thread_([this] { run(); }) {}

transfer_driver::~transfer_driver() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  std::unique_ptr<maestro::client> last;
  {
    const std::unique_lock lock(client_mutex_);
    last = std::move(client_);
  }
  last.reset();  // Answers what is under way, whose steps end with it.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return under_way_.empty(); });
}

void transfer_driver::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    auto found = look();
    for (auto& each : found) take_up(std::move(each));
    lock.lock();
    changed_.wait_for(lock, pause_between_looks, [this] { return stopping_; });
  }
}

// The oldest first (an id tells when it was made). What a store that cannot be reached holds is looked at later.
auto transfer_driver::look() -> std::vector<open_transfer> {
  const auto rows = reader_->query("select transfer, command, payer, payee, cents, stage from open_transfers order by transfer limit 256", {});
  std::vector<open_transfer> found;
  if (!rows) return found;
  for (const auto& row : *rows)
    found.push_back({id_from<maestro::aggregate_id>(row[0]), id_from<maestro::command_id>(row[1]), row[2].as<std::string>(),
                     row[3].as<std::string>(), row[4].as<std::int64_t>(), row[5].as<std::string>()});
  return found;
}

void transfer_driver::take_up(open_transfer found) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || under_way_.size() >= most_at_once || !under_way_.insert(found.id).second) return;
  }
  drive(std::make_shared<open_transfer>(std::move(found)));
}

// The next step of a transfer, after which comes the one after.
void transfer_driver::drive(const open_transfer_ptr& of) {
  if (of->stage == stage::paying) {
    ask_account<pay>(of, of->payer, "pay", [this, of](const maestro::event& answer) {
      if (answer.type == maestro::registered_name<paid>()) return note(of, "paid", note_payment{}, stage::delivering);
      const auto refusal = maestro::decode<payment_refused>(answer.body);
      note(of, "declined", note_refusal{refusal ? refusal->reason : answer.body}, stage::failed);
    });
  } else if (of->stage == stage::delivering) {
    ask_account<collect>(of, of->payee, "collect", [this, of](const maestro::event& answer) {
      if (answer.type == maestro::registered_name<collected>()) return note(of, "delivered", note_delivery{}, stage::done);
      const auto refusal = maestro::decode<collection_refused>(answer.body);
      note(of, "turned away", note_refusal{refusal ? refusal->reason : answer.body}, stage::returning);
    });
  } else if (of->stage == stage::returning) {
    ask_account<take_back>(of, of->payer, "take back",
                           [this, of](const maestro::event&) { note(of, "returned", note_return{}, stage::failed); });
  } else {
    let_go(*of);
  }
}

// What is not answered, or not accepted, is tried again when the transfer is found the next time.
template <class Command>
void transfer_driver::ask_account(const open_transfer_ptr& of, const std::string& account, std::string_view step,
                                  std::function<void(const maestro::event&)> then) {
  auto options = options_for(*of, step);
  options.returns = maestro::return_mode::events;
  send(of, bank::account::id::named(account), Command{of->id.text(), of->cents}, std::move(options),
       [this, of, then = std::move(then)](const maestro::receipt& got) {
         if (got.answer.failure || got.answer.events.empty()) return let_go(*of);
         then(got.answer.events.front());
       });
}

template <class Command>
void transfer_driver::note(const open_transfer_ptr& of, std::string_view step, const Command& command, std::string_view next_stage) {
  send(of, transfer::id(of->id), command, options_for(*of, step), [this, of, next_stage](const maestro::receipt& got) {
    if (got.answer.failure) return let_go(*of);
    of->stage = next_stage;
    drive(of);
  });
}

template <class Id, class Command>
void transfer_driver::send(const open_transfer_ptr& of, const Id& to, const Command& command, maestro::send_options options,
                           std::function<void(maestro::receipt)> done) {
  const std::shared_lock lock(client_mutex_);
  if (!client_) return let_go(*of);
  client_->send_async(to, command, std::move(options), std::move(done));
}

auto transfer_driver::options_for(const open_transfer& of, std::string_view step) const -> maestro::send_options {
  maestro::send_options options;
  options.command_id = maestro::derive_command_id(of.began_by, step);
  options.correlation_id = of.id.text();
  options.causation_id = of.began_by.text();
  return options;
}

void transfer_driver::let_go(const open_transfer& of) {
  const std::lock_guard lock(mutex_);
  under_way_.erase(of.id);
  changed_.notify_all();
}

}  // namespace bank
