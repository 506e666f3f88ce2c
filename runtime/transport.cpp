#include <maestro/runtime/transport.hpp>

#include <maestro/runtime/connection.hpp>
#include <maestro/runtime/tcp.hpp>

#include <caf/io/basp_broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/doorman_impl.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/sec.hpp>
#include <caf/send.hpp>

#include <optional>
#include <set>
#include <system_error>
#include <utility>

namespace maestro {

namespace {

using steady_clock = std::chrono::steady_clock;
namespace net = caf::io::network;

auto multiplexer_of(caf::actor_system& system) -> net::default_multiplexer& {
  return dynamic_cast<net::default_multiplexer&>(system.middleman().backend());
}

auto broker_of(caf::actor_system& system) -> caf::weak_actor_ptr {
  return caf::actor_cast<caf::weak_actor_ptr>(system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP")));
}

// Takes connections. Runs on CAF's network thread.
class door final : public net::doorman_impl {
 public:
  door(net::default_multiplexer& multiplexer, int socket, std::shared_ptr<transport::shared> shared)
      : net::doorman_impl(multiplexer, socket), shared_(std::move(shared)) {}

  auto new_connection() -> bool override {
    tcp_socket socket(std::exchange(acceptor_.accepted_socket(), net::invalid_native_socket));
    if (detached()) return false;
    shared_->make_room();
    if (!shared_->admit()) {
      shared_->refused(peer_name(socket.descriptor()), "there are node.max-connections already");
      return true;
    }
    auto& multiplexer = acceptor_.backend();
    auto made = caf::make_counted<connection>(multiplexer, std::move(socket), shared_, connection_side::taken, nullptr);
    const auto handle = made->hdl();
    parent()->add_scribe(std::move(made));
    return caf::io::doorman::new_connection(&multiplexer, handle);
  }

 private:
  const std::shared_ptr<transport::shared> shared_;
};

// The handshake of one that connects, on its own thread. Nothing, or for people why it failed.
auto shake_hands_by(tls_session& tls, const tcp_socket& socket, steady_clock::time_point deadline) -> std::optional<std::string> {
  while (true) {
    const auto progress = tls.shake_hands();
    if (progress == tls_progress::done) return std::nullopt;
    if (progress == tls_progress::failed)
      return tls.reason().empty() ? "it hung up before that was agreed: it does not speak TLS, takes no more connections, or is stopping" : tls.reason();
    if (!socket.wait(progress == tls_progress::wants_read, deadline)) return "it did not answer in time";
  }
}

auto speaks_tls(const std::string& host, std::uint16_t port, steady_clock::time_point deadline) -> bool {
  const auto socket = connect_tcp(host, port, deadline);
  if (!socket) return false;
  tls_session asking(tls_context::anonymous(), socket->descriptor(), tls_end::client);
  return !shake_hands_by(asking, *socket, deadline);
}

}  // namespace

transport::transport(caf::actor_system& system, const transport_settings& settings, tls_context_ptr tls)
    : system_(system), broker_(broker_of(system)), shared_(std::make_shared<shared>(settings, std::move(tls))) {}

auto transport::publish(const caf::actor& actor, const std::string& host, std::uint16_t port) -> result<std::uint16_t> {
  const auto socket = net::new_tcp_acceptor_impl(port, host.c_str(), true);
  if (!socket) return why_not_listening(host, port);
  caf::io::doorman_ptr opened = caf::make_counted<door>(multiplexer_of(system_), *socket, shared_);
  const auto real_port = opened->port();
  caf::anon_send(broker(), caf::publish_atom::value, std::move(opened), real_port, caf::actor_cast<caf::strong_actor_ptr>(actor),
                 std::set<std::string>{});
  return real_port;
}

auto transport::parts_from(const caf::node_id& peer) const -> std::function<steady_clock::time_point()> {
  return [of = shared_, peer] { return of->part_from(peer); };
}

auto transport::connect(const std::string& host, std::uint16_t port, steady_clock::time_point deadline) -> found_peer {
  auto socket = connect_tcp(host, port, deadline);
  if (!socket) return {nullptr, false, socket.failure().message};
  std::unique_ptr<tls_session> tls;
  if (shared_->tls) {
    tls = std::make_unique<tls_session>(shared_->tls, socket->descriptor(), tls_end::client);
    if (auto why = shake_hands_by(*tls, *socket, deadline)) return {nullptr, false, "TLS: " + *why};
  }
  const auto by_then = broker();
  if (!by_then) return {nullptr, false, "this program is about to end"};
  auto made = caf::make_counted<connection>(multiplexer_of(system_), std::move(*socket), shared_, connection_side::made, std::move(tls));
  found_peer found;
  bool hung_up = false;
  caf::scoped_actor self(system_);
  self->request(by_then, milliseconds_until(deadline), caf::connect_atom::value, caf::io::scribe_ptr(made), port)
      .receive(
          [&](const caf::node_id&, const caf::strong_actor_ptr& published, const std::set<std::string>&) {
            found.published = caf::actor_cast<caf::actor>(published);
          },
          [&](const caf::error& why) {
            found.timed_out_in_caf = why == caf::sec::connection_timeout;
            hung_up = why == caf::sec::disconnect_during_handshake;
          });
  if (found.published) return found;
  // What CAF still does with it ends; a broken one says why.
  made->hang_up();
  found.why = "what listens there is no maestro node, it is busy, or the timeout is too short";
  if (!hung_up) return found;
  if (const auto reason = made->reason(); !reason.empty()) found.why = reason;
  else if (!shared_->tls && speaks_tls(host, port, deadline)) found.why = "it takes connections over TLS only; say which certificate, key and authority to use";
  return found;
}

farewell::farewell(const transport& over, std::chrono::milliseconds grace) {
  try {
    thread_ = std::thread([this, grace, shared = over.shared_] {
      std::unique_lock lock(mutex_);
      if (!ended_early_.wait_for(lock, grace, [this] { return ended_; })) shared->hang_up_all();
    });
  } catch (const std::system_error&) {  // There are no more threads, and nobody who could hang up in time.
    over.shared_->hang_up_all();
  }
}

farewell::~farewell() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  ended_early_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace maestro
