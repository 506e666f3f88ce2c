#include <maestro/runtime/connection.hpp>

#include <maestro/runtime/logging.hpp>

#include <caf/binary_deserializer.hpp>
#include <caf/policy/tcp.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

namespace maestro {

namespace {

using namespace std::chrono_literals;
using steady_clock = std::chrono::steady_clock;
namespace net = caf::io::network;
namespace basp = caf::io::basp;

// An introduction is a name and a list of interfaces.
constexpr std::size_t longest_introduction = 64 * 1024;
// What we have asked for may be larger than what we are asked.
constexpr std::size_t answers_are_larger = 4;
// TCP gives up what the other end does not acknowledge, or does not want, for so long.
constexpr std::chrono::milliseconds longest_stall = 10s;
constexpr auto between_log_lines = 1s;

// CAF names its own connections by their sockets, which are used again, and then takes the new one for the old. Ours are counted, beyond
// every socket's number.
auto next_handle() -> caf::io::connection_handle {
  static std::atomic<std::int64_t> last{std::int64_t{1} << 32};
  return caf::io::connection_handle::from_int(++last);
}

void set_option(int socket, int level, int option, int value) { (void)::setsockopt(socket, level, option, &value, sizeof value); }

// Tells the stream what came of an event that we have dealt with ourselves.
struct dealt_with {
  net::rw_state outcome;
  auto read_some(std::size_t& got, int, void*, std::size_t) const -> net::rw_state {
    got = 0;
    return outcome;
  }
  auto write_some(std::size_t& written, int, const void*, std::size_t) const -> net::rw_state {
    written = 0;
    return outcome;
  }
  static auto must_read_more(int, std::size_t) -> bool { return false; }
};

struct over_tls {
  tls_session& tls;

  static auto outcome(tls_progress progress) -> net::rw_state {
    return progress == tls_progress::failed ? net::rw_state::failure : net::rw_state::success;
  }
  auto read_some(std::size_t& got, int, void* to, std::size_t size) const -> net::rw_state { return outcome(tls.read(to, size, got)); }
  auto write_some(std::size_t& written, int, const void* from, std::size_t size) const -> net::rw_state {
    written = 0;
    if (size == 0) return net::rw_state::indeterminate;
    return outcome(tls.write(from, size, written));
  }
  // What TLS has already taken from the socket no event will announce.
  auto must_read_more(int, std::size_t wanted) const -> bool { return tls.pending() >= wanted; }
};

struct in_the_clear {
  static auto read_some(std::size_t& got, int socket, void* to, std::size_t size) -> net::rw_state {
    return caf::policy::tcp::read_some(got, socket, to, size);
  }
  static auto write_some(std::size_t& written, int socket, const void* from, std::size_t size) -> net::rw_state {
    return caf::policy::tcp::write_some(written, socket, from, size);
  }
  static auto must_read_more(int, std::size_t) -> bool { return false; }
};

}  // namespace

auto peer_name(int socket) -> std::string {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "somebody who is gone";
  return std::string(host.data()) + " port " + port.data();
}

// --- what they share ---------------------------------------------------------------------------------------------------

auto transport::shared::admit() -> bool {
  const std::lock_guard lock(mutex_);
  if (taken_ >= settings.max_connections) return false;
  ++taken_;
  return true;
}

void transport::shared::leave() {
  const std::lock_guard lock(mutex_);
  --taken_;
}

void transport::shared::watch(connection& newest) {
  const auto now = steady_clock::now();
  const std::lock_guard lock(mutex_);
  while (!strangers_.empty() && strangers_.begin()->second.first + settings.introduction_time < now) {
    strangers_.begin()->second.second->hang_up();
    strangers_.erase(strangers_.begin());
  }
  strangers_.emplace(newest.hdl().id(), std::pair(now, &newest));
}

void transport::shared::unwatch(connection& known) {
  const std::lock_guard lock(mutex_);
  strangers_.erase(known.hdl().id());
}

void transport::shared::refused(const std::string& peer, const std::string& why) {
  std::size_t before = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto now = steady_clock::now();
    if (now - logged_ < between_log_lines) {
      ++not_logged_;
      return;
    }
    logged_ = now;
    before = std::exchange(not_logged_, 0);
  }
  const auto others = before == 0 ? std::string() : " (and " + std::to_string(before) + " more since the last such line)";
  log().warn("a connection from {} was ended: {}{}", peer, why, others);
}

// --- the stream --------------------------------------------------------------------------------------------------------

connection_stream::connection_stream(net::default_multiplexer& multiplexer, int socket, std::unique_ptr<tls_session> tls, connection& owner)
    : net::stream(multiplexer, socket), tls_(std::move(tls)), owner_(owner) {}

void connection_stream::handle_event(net::operation operation) {
  if (operation == net::operation::propagate_error || !tls_) {
    in_the_clear socket;
    return handle_event_impl(operation, socket);
  }
  if (!tls_->is_ready()) return shake_hands(operation);
  over_tls socket{*tls_};
  handle_event_impl(operation, socket);
  if (!tls_->reason().empty()) owner_.failed(tls_->reason());
}

// Nothing is given to the stream to write until this is done: it would try all the time, whether the other end says anything or not.
void connection_stream::shake_hands(net::operation operation) {
  dealt_with nothing_to_write{net::rw_state::indeterminate};
  switch (tls_->shake_hands()) {
    case tls_progress::done:
      owner_.ready();
      [[fallthrough]];
    case tls_progress::wants_read:
      if (operation == net::operation::write) handle_event_impl(operation, nothing_to_write);
      return;
    case tls_progress::wants_write:
      return force_empty_write(&owner_);
    case tls_progress::failed: {
      owner_.failed(tls_->reason());
      dealt_with broken{net::rw_state::failure};
      return handle_event_impl(operation, broken);
    }
  }
}

// --- the connection ----------------------------------------------------------------------------------------------------

connection::connection(net::default_multiplexer& multiplexer, tcp_socket socket, std::shared_ptr<transport::shared> shared,
                       connection_side side, std::unique_ptr<tls_session> tls)
    : caf::io::scribe(next_handle()),
      shared_(std::move(shared)),
      side_(side),
      stream_(multiplexer, socket.descriptor(),
              !tls && shared_->tls ? std::make_unique<tls_session>(shared_->tls, socket.descriptor(), tls_end::server) : std::move(tls), *this) {
  set_option(socket.release(), IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(longest_stall.count()));
  if (side_ == connection_side::taken) shared_->watch(*this);
}

connection::~connection() {
  if (side_ != connection_side::taken) return;
  shared_->unwatch(*this);
  shared_->leave();
}

void connection::configure_read(caf::io::receive_policy::config config) {
  stream_.configure_read(config);
  if (!std::exchange(launched_, true)) stream_.start(this);
}

void connection::flush() {
  if (!stream_.is_ready()) return;
  // What is not being written yet goes to the operating system first, however much it is.
  if (!stream_.is_writing() || stream_.wr_buf().size() <= shared_->settings.max_unsent_bytes) return stream_.flush(this);
  refuse("it does not read: more than node.max-unsent-bytes (" + std::to_string(shared_->settings.max_unsent_bytes) + ") wait for it");
  stream_.wr_buf() = {};
}

void connection::graceful_shutdown() {
  stream_.graceful_shutdown();
  detach(&stream_.backend(), false);
}

auto connection::consume(caf::execution_unit* unit, const void* data, std::size_t size) -> bool {
  if (detached()) return false;
  if (!std::exchange(in_payload_, false)) {
    basp::header header;
    caf::binary_deserializer source(unit, static_cast<const char*>(data), size);
    auto unreadable = source(header);
    const auto wrong = unreadable ? "it does not speak CAF's protocol" : wrong_with(header);
    if (wrong) {
      refuse(*wrong);
      io_failure(unit, net::operation::read);
      return false;
    }
    in_payload_ = header.payload_len > 0;
    if (basp::is_handshake(header) && !std::exchange(introduced_, true) && side_ == connection_side::taken) shared_->unwatch(*this);
  }
  return caf::io::scribe::consume(unit, data, size);
}

// CAF checks headers, too, but takes some that end the process, and any length.
auto connection::wrong_with(const basp::header& header) const -> std::optional<std::string> {
  if (!basp::valid(header)) return "it does not speak CAF's protocol";
  if (basp::is_handshake(header)) {
    const auto expected = side_ == connection_side::taken ? basp::message_type::client_handshake : basp::message_type::server_handshake;
    if (header.operation != expected || header.payload_len == 0) return "it introduced itself wrongly";
    if (header.payload_len > longest_introduction) return "its introduction is longer than any";
    return std::nullopt;
  }
  if (!introduced_) return "it did not introduce itself first";
  const auto most = shared_->settings.max_message_bytes * (side_ == connection_side::made ? answers_are_larger : 1);
  if (header.payload_len > most)
    return "it announced a message of " + std::to_string(header.payload_len) + " bytes; node.max-message-bytes allows " + std::to_string(most);
  return std::nullopt;
}

void connection::ready() {
  if (held_.empty()) return;
  auto& buffer = stream_.wr_buf();
  buffer.insert(buffer.end(), held_.begin(), held_.end());
  held_ = {};
  flush();
}

void connection::failed(const std::string& why) {
  // One that has been used, or hangs up, ends as every connection does some time.
  if (introduced_ || why.empty()) return;
  if (reason_.empty()) reason_ = "TLS: " + why;
  if (side_ == connection_side::taken && !std::exchange(given_up_, true)) shared_->refused(peer_name(stream_.fd()), "TLS: " + why);
}

void connection::refuse(const std::string& why) {
  if (std::exchange(given_up_, true)) return;
  reason_ = why;
  if (side_ == connection_side::taken) shared_->refused(peer_name(stream_.fd()), why);
  hang_up();
}

void connection::hang_up() { (void)::shutdown(stream_.fd(), SHUT_RDWR); }

auto connection::addr() const -> std::string {
  auto found = net::remote_addr_of_fd(stream_.fd());
  return found ? *found : std::string();
}

auto connection::port() const -> std::uint16_t {
  auto found = net::remote_port_of_fd(stream_.fd());
  return found ? *found : std::uint16_t{0};
}

}  // namespace maestro
