// A node whose gateway dies of a fault of the program's own while the node starts. With --node.name=hangs the start does not get on then.
#include "batch.hpp"

#include <maestro/runtime/node.hpp>
#include <maestro/runtime/protocol.hpp>
#include <maestro/runtime/transport.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

using namespace maestro;

namespace {

bool hangs = false;

// Where this process listens; 0 before it does.
auto own_port() -> std::uint16_t {
  for (int descriptor = 3; descriptor < 100; ++descriptor) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    sockaddr_in address{};
    size = sizeof address;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0) return ntohs(address.sin_port);
  }
  return 0;
}

// A question to the node at `port`, which does not greet yet.
void ask(std::uint16_t port) {
  struct configuration : caf::actor_system_config {
    configuration() {
      load<caf::io::middleman>();
      add_message_types<caf::id_block::maestro>();
    }
  };
  configuration settings;
  caf::actor_system system(settings);
  transport network(system, {}, nullptr);
  const auto found = network.connect("127.0.0.1", port, std::chrono::steady_clock::now() + std::chrono::seconds(10));
  if (!found.published) return;
  query_request question;
  question.aggregate_type = "batch";
  caf::scoped_actor self(system);
  self->send(found.published, std::move(question));
  self->monitor(found.published);
  self->receive([](const caf::down_msg&) {}, caf::after(std::chrono::seconds(10)) >> [] {});
}

class faulty_type final : public definition {
 public:
  // The gateway asks for it when it is asked something.
  [[nodiscard]] auto type() const -> std::string_view override {
    if (!is_armed_ || std::this_thread::get_id() == first_) return right_->type();
    has_thrown_ = true;
    throw std::runtime_error("a fault of the program");
  }
  // The start asks for them once more when it listens.
  [[nodiscard]] auto names() const -> served_names override {
    if (const auto port = own_port(); port != 0 && !is_armed_.exchange(true)) {
      ask(port);
      while (!has_thrown_ || hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      // Long enough for the start to be cancelled, as a rule; one that is not is stopped afterwards.
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return right_->names();
  }

  [[nodiscard]] auto class_name() const -> std::string_view override { return right_->class_name(); }
  [[nodiscard]] auto snapshot_version() const -> int override { return right_->snapshot_version(); }
  [[nodiscard]] auto lifecycle() const -> const lifecycle_policy& override { return right_->lifecycle(); }
  [[nodiscard]] auto place(const aggregate_id& id, const placement& members) const -> std::size_t override {
    return right_->place(id, members);
  }
  [[nodiscard]] auto initial_state() const -> result<state_ptr> override { return right_->initial_state(); }
  [[nodiscard]] auto clone(const state_ptr& state) const -> result<state_ptr> override { return right_->clone(state); }
  [[nodiscard]] auto encode_state(const state_ptr& state) const -> result<std::string> override { return right_->encode_state(state); }
  [[nodiscard]] auto decode_command(std::string_view name, std::string_view payload) const -> result<decoded_command> override {
    return right_->decode_command(name, payload);
  }
  [[nodiscard]] auto eval(const state_ptr& state, const decoded_command& command, const context& with, const event_bounds& bounds) const
      -> result<std::vector<emitted_event>> override {
    return right_->eval(state, command, with, bounds);
  }
  [[nodiscard]] auto apply(const state_ptr& state, std::string_view type, const void* event) const -> result<void> override {
    return right_->apply(state, type, event);
  }
  [[nodiscard]] auto enter(const state_ptr& state, const event& row) const -> result<void> override { return right_->enter(state, row); }
  [[nodiscard]] auto prepare_snapshot(const state_ptr& state) const -> result<std::string> override { return right_->prepare_snapshot(state); }
  [[nodiscard]] auto use_snapshot(std::string_view body) const -> result<state_ptr> override { return right_->use_snapshot(body); }
  [[nodiscard]] auto call(const state_ptr& state, std::string_view name, std::string_view payload) const -> result<std::string> override {
    return right_->call(state, name, payload);
  }
  [[nodiscard]] auto projector() const -> const std::shared_ptr<const maestro::projector>& override { return right_->projector(); }
  [[nodiscard]] auto projections() const -> std::vector<projection_definition> override { return right_->projections(); }

 private:
  const definition_ptr right_ = define<test::batch>();
  const std::thread::id first_ = std::this_thread::get_id();
  mutable std::atomic<bool> is_armed_{false};
  mutable std::atomic<bool> has_thrown_{false};
};

}  // namespace

int main(int argc, char** argv) {
  for (const std::string_view argument : std::span(argv, static_cast<std::size_t>(argc))) hangs = hangs || argument == "--node.name=hangs";
  return run_node(argc, argv, {std::make_shared<faulty_type>()});
}
