// Drives transfers: looks for those that are not over, and gives each the next command, on the accounts and on the transfer itself.
// Each of these has an id that follows from the command that began the transfer, so that a driver which takes up what another one
// (or itself, before it was killed) has left repeats no step. Every node runs one.
#pragma once

#include <maestro/runtime/client.hpp>
#include <maestro/runtime/node.hpp>
#include <maestro/store/store.hpp>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bank {

class transfer_driver {
 public:
  /// Starts. `node` must outlive it.
  explicit transfer_driver(maestro::node& node);
  transfer_driver(const transfer_driver&) = delete;
  auto operator=(const transfer_driver&) -> transfer_driver& = delete;
  /// Stops where it is; another one goes on.
  ~transfer_driver();

 private:
  // A row of open_transfers.
  struct open_transfer {
    maestro::aggregate_id id;
    maestro::command_id began_by;
    std::string payer;
    std::string payee;
    std::int64_t cents = 0;
    std::string stage;
  };
  using open_transfer_ptr = std::shared_ptr<open_transfer>;

  void run();
  [[nodiscard]] auto look() -> std::vector<open_transfer>;
  void take_up(open_transfer found);
  void drive(const open_transfer_ptr& of);
  template <class Command>
  void ask_account(const open_transfer_ptr& of, const std::string& account, std::string_view step,
                   std::function<void(const maestro::event&)> then);
  template <class Command>
  void note(const open_transfer_ptr& of, std::string_view step, const Command& command, std::string_view next_stage);
  /// Sends a step, unless this driver stops.
  template <class Id, class Command>
  void send(const open_transfer_ptr& of, const Id& to, const Command& command, maestro::send_options options,
            std::function<void(maestro::receipt)> done);
  [[nodiscard]] auto options_for(const open_transfer& of, std::string_view step) const -> maestro::send_options;
  void let_go(const open_transfer& of);

  std::unique_ptr<maestro::store> reader_;
  std::shared_mutex client_mutex_;  // Held by who sends: a step's answer may come while the client is about to go.
  std::unique_ptr<maestro::client> client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<maestro::aggregate_id> under_way_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bank
