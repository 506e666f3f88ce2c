#include "load.hpp"

#include "node_process.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace maestro::test {

void load::send(client& node, std::size_t answers) {
  const auto goal = answered_ + answers;
  const auto may_send = [&] { return answered_ < goal && free_.try_acquire_for(patience); };
  std::vector<sent_command*> doubtful;
  for (auto& command : commands_)
    if (command.known == verdict::in_doubt) doubtful.push_back(&command);
  for (auto* command : doubtful) {
    if (!may_send()) return;
    send_one(node, *command, true);
  }
  while (may_send()) {
    commands_.push_back(make_command());
    send_one(node, commands_.back(), false);
  }
}

auto load::in_doubt() const -> std::size_t {
  return static_cast<std::size_t>(
      std::count_if(commands_.begin(), commands_.end(), [](const auto& each) { return each.known == verdict::in_doubt; }));
}

auto load::settle() -> bool {
  for (std::ptrdiff_t i = 0; i < outstanding; ++i)
    if (!free_.try_acquire_for(patience)) return false;
  free_.release(outstanding);
  return true;
}

// Handles are fewer than accounts ask for, so that some are refused by the table in the midst of a batch of commits.
auto load::make_command() -> sent_command {
  sent_command made;
  if (pick(1, 100) <= 20) {
    made.aggregate_type = "batch";
    made.aggregate_id = derive_aggregate_id("batch", std::to_string(pick(1, batches)));
    made.name = "add";
    made.payload = "{\"items\":" + std::to_string(pick(0, 8)) + "}";
    return made;
  }
  const auto owner = std::to_string(pick(1, accounts));
  const auto cents = "{\"cents\":" + std::to_string(pick(1, 100)) + "}";
  made.aggregate_type = "account";
  made.aggregate_id = derive_aggregate_id("account", owner);
  if (const auto dice = pick(1, 100); dice <= 15) {
    made.name = "open";
    made.payload = "{\"owner\":\"owner " + owner + "\",\"handle\":\"@" + std::to_string(pick(1, accounts + 5)) + "\"}";
  } else if (dice <= 55) {
    made.name = "deposit";
    made.payload = cents;
  } else if (dice <= 90) {
    made.name = "withdraw";
    made.payload = cents;
  } else {
    made.name = "close";
    made.payload = "{}";
  }
  return made;
}

void load::send_one(client& node, sent_command& command, bool again) {
  send_options options;
  options.retry = retry_;
  if (again) options.command_id = command.command_id;
  const auto begin = std::chrono::steady_clock::now();
  node.send_async(command.aggregate_type, command.aggregate_id, command.name, command.payload, std::move(options),
                  [this, &command, again, begin](const receipt& got) {
                    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count();
                    if (took > longest_) longest_ = took;  // Answers come one at a time.
                    command.command_id = got.command_id;
                    if (!got.answer.failure) {
                      command.known = verdict::accepted;
                      command.first = got.answer.first;
                      command.last = got.answer.last;
                    } else if (const auto kind = got.answer.failure.kind();
                               kind == error_kind::rejected || (kind == error_kind::retryable && !again)) {
                      command.known = verdict::refused;
                    } else {
                      ++doubts_;
                    }
                    ++answered_;
                    free_.release();
                  });
}

}  // namespace maestro::test
