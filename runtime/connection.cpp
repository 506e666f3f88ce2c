#include <maestro/runtime/connection.hpp>

#include <maestro/runtime/logging.hpp>

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/policy/tcp.hpp>
#include <caf/send.hpp>

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
// CAF's clients say twice who they are, and mean with the second time that this connection is the one to use; servers say it once.
constexpr int client_introductions = 2;
constexpr int server_introductions = 1;
// With no room left, strangers get a fifth of the time to introduce themselves.
constexpr int less_time_when_full = 5;
// TCP gives up what the other end does not acknowledge, or does not want, for so long.
constexpr std::chrono::milliseconds longest_stall = 10s;
constexpr auto between_log_lines = 1s;
// How much is read at a time: this much, and more when more than that has come of a message already. So what a connection costs
// follows what it has sent, not what it has announced.
constexpr std::size_t least_read = 4 * 1024;
constexpr std::size_t most_read = 256 * 1024;
// So often CAF hears of a peer whose message is still under way.
constexpr auto between_signs_of_life = 500ms;
// Buffers that have grown beyond this do not stay.
constexpr std::size_t kept_capacity = 16 * 1024;

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

void transport::shared::make_room() {
  std::vector<std::string> late;
  std::vector<std::string> slow;
  {
    const auto now = steady_clock::now();
    const std::lock_guard lock(mutex_);
    const auto patience = settings.introduction_time / (taken_ < settings.max_connections ? 1 : less_time_when_full);
    while (!strangers_.empty() && strangers_.begin()->second.first + patience < now) {
      const auto& stranger = *strangers_.begin()->second.second;
      late.push_back(peer_name(stranger.socket()));
      strangers_.begin()->second.second->hang_up();
      strangers_.erase(strangers_.begin());
    }
    std::erase_if(incomplete_, [&](const auto& each) {
      const auto& [began, of] = each.second;
      if (now - began <= settings.receive_timeout) return false;
      slow.push_back(peer_name(of->socket()));
      of->hang_up();
      return true;
    });
  }
  for (const auto& each : late) refused(each, "it has not introduced itself in time");
  for (const auto& each : slow) refused(each, too_slow());
}

auto transport::shared::too_slow() const -> std::string {
  return "a message of it was not all there after " + std::to_string(settings.receive_timeout.count()) + " ms (node.receive-timeout)";
}

void transport::shared::await_rest(connection& each, steady_clock::time_point began) {
  const std::lock_guard lock(mutex_);
  incomplete_.insert_or_assign(each.hdl().id(), std::pair(began, &each));
}

void transport::shared::has_rest(connection& each) {
  const std::lock_guard lock(mutex_);
  incomplete_.erase(each.hdl().id());
}

auto transport::shared::admit() -> bool {
  const std::lock_guard lock(mutex_);
  if (taken_ >= settings.max_connections) return false;
  ++taken_;
  return true;
}

void transport::shared::add(connection& each, connection_side side) {
  const std::lock_guard lock(mutex_);
  all_.insert(&each);
  if (side == connection_side::taken) strangers_.emplace(each.hdl().id(), std::pair(steady_clock::now(), &each));
}

void transport::shared::remove(connection& each, connection_side side) {
  const std::lock_guard lock(mutex_);
  all_.erase(&each);
  strangers_.erase(each.hdl().id());
  incomplete_.erase(each.hdl().id());
  if (side == connection_side::taken) --taken_;
}

void transport::shared::know(connection& each) {
  const std::lock_guard lock(mutex_);
  strangers_.erase(each.hdl().id());
}

void transport::shared::hang_up_all() {
  const std::lock_guard lock(mutex_);
  for (auto* each : all_) each->hang_up();
}

auto transport::shared::hold(std::size_t bytes) -> bool {
  if ((held_ += bytes) <= settings.max_receiving_bytes) return true;
  held_ -= bytes;
  make_room();  // For the next one: those that bring nothing more are not heard of otherwise.
  return false;
}

void transport::shared::note_part(const caf::node_id& peer) {
  const std::lock_guard lock(mutex_);
  parts_.insert_or_assign(peer, steady_clock::now());
}

auto transport::shared::part_from(const caf::node_id& peer) -> steady_clock::time_point {
  const std::lock_guard lock(mutex_);
  const auto found = parts_.find(peer);
  return found == parts_.end() ? steady_clock::time_point() : found->second;
}

void transport::shared::forget_parts(const caf::node_id& peer) {
  const std::lock_guard lock(mutex_);
  parts_.erase(peer);
}

void transport::shared::refused(const std::string& peer, const std::string& why) {
  if (settings.log_refusals) say("the connection with " + peer + " was ended: " + why);
}

void transport::shared::dropped(const std::string& peer, const std::string& what) {
  if (settings.log_refusals) say("a message of " + peer + " was dropped: " + what);
}

void transport::shared::say(const std::string& line) {
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
  log().warn("{}{}", line, others);
}

// --- the stream --------------------------------------------------------------------------------------------------------

connection_stream::connection_stream(net::default_multiplexer& multiplexer, int socket, std::unique_ptr<tls_session> tls, connection& owner)
    : net::stream(multiplexer, socket), tls_(std::move(tls)), owner_(owner) {}

void connection_stream::handle_event(net::operation operation) {
  if (operation == net::operation::propagate_error || !tls_) {
    caf::policy::tcp socket;
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
              !tls && shared_->tls ? std::make_unique<tls_session>(shared_->tls, socket.descriptor(), tls_end::server) : std::move(tls), *this),
      gate_(multiplexer.system()) {
  set_option(socket.release(), IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(longest_stall.count()));
  shared_->add(*this, side_);
}

connection::~connection() {
  shared_->release(next_.held);
  shared_->forget_parts(gate_.peer());
  shared_->remove(*this, side_);
}

// The broker says how long the part is that it expects next, which we know as well, and read as it suits us.
void connection::configure_read(caf::io::receive_policy::config) {
  if (std::exchange(launched_, true)) return;
  prepare_to_read();
  stream_.start(this);
}

void connection::prepare_to_read() {
  stream_.configure_read(caf::io::receive_policy::at_most(std::clamp(next_.payload.size(), least_read, most_read)));
}

void connection::flush() {
  if (!stream_.is_ready()) return;
  const auto waiting = stream_.wr_buf().size();
  // What is not being written yet goes to the operating system first, however much it is.
  if (!stream_.is_writing() || waiting <= shared_->settings.max_unsent_bytes) return stream_.flush(this);
  refuse("it does not read, or not fast enough: " + std::to_string(waiting) + " bytes wait for it (node.max-unsent-bytes)");
  stream_.wr_buf() = {};
}

void connection::graceful_shutdown() {
  stream_.graceful_shutdown();
  detach(&stream_.backend(), false);
}

auto connection::consume(caf::execution_unit* unit, const void* data, std::size_t size) -> bool {
  const caf::intrusive_ptr<connection> kept(this);
  std::string_view bytes(static_cast<const char*>(data), size);
  while (!bytes.empty()) {
    if (detached()) return false;
    if (const auto wrong = take(unit, bytes)) {
      refuse(*wrong);
      io_failure(unit, net::operation::read);
      return false;
    }
    if (next_.is_complete() && !hand_on_message(unit)) return false;
  }
  if (!next_.header.empty() && introductions_ > 0 && !wait_for_the_rest(unit)) return false;
  if (next_.payload.empty() && stream_.rd_buf().capacity() > kept_capacity) stream_.rd_buf() = {};
  prepare_to_read();
  return true;
}

// Takes from `bytes` what belongs to the next part of the message.
auto connection::take(caf::execution_unit* unit, std::string_view& bytes) -> std::optional<std::string> {
  if (next_.header.empty()) next_.began = next_.told = steady_clock::now();
  if (!next_.has_header())
    if (auto wrong = take_header(unit, bytes)) return wrong;
  if (next_.has_header() && next_.missing > 0) return take_payload(bytes);
  return std::nullopt;
}

auto connection::take_header(caf::execution_unit* unit, std::string_view& bytes) -> std::optional<std::string> {
  const auto part = bytes.substr(0, basp::header_size - next_.header.size());
  next_.header.insert(next_.header.end(), part.begin(), part.end());
  bytes.remove_prefix(part.size());
  if (!next_.has_header()) return std::nullopt;
  caf::binary_deserializer source(unit, next_.header.data(), next_.header.size());
  if (auto unreadable = source(next_.read)) return "it does not speak CAF's protocol";
  if (auto wrong = wrong_with(next_.read)) return wrong;
  next_.missing = next_.read.payload_len;
  return judged(gate_.judge(next_.read));
}

auto connection::take_payload(std::string_view& bytes) -> std::optional<std::string> {
  const auto part = bytes.substr(0, next_.missing);
  bytes.remove_prefix(part.size());
  next_.missing -= part.size();
  if (next_.verdict != message_gate::verdict::pass) return std::nullopt;
  if (next_.missing > 0) {
    if (!shared_->hold(part.size()))
      return "no more than " + std::to_string(shared_->settings.max_receiving_bytes) +
             " bytes are held of messages that have come in part (node.max-receiving-bytes)";
    next_.held += part.size();
  }
  next_.payload.insert(next_.payload.end(), part.begin(), part.end());
  return next_.missing == 0 ? judge_payload() : std::nullopt;
}

auto connection::judge_payload() -> std::optional<std::string> {
  if (!basp::is_handshake(next_.read)) return judged(gate_.judge(next_.read, next_.payload));
  if (++introductions_ > 1) {
    if (next_.payload != introduction_) return "it introduced itself as somebody else";
    return std::nullopt;
  }
  if (!gate_.introduce(next_.payload)) return "it introduced itself wrongly";
  introduction_ = next_.payload;
  shared_->know(*this);
  return std::nullopt;
}

auto connection::judged(message_gate::verdict verdict) -> std::optional<std::string> {
  next_.verdict = verdict;
  if (verdict == message_gate::verdict::hang_up) return gate_.reason();
  if (verdict == message_gate::verdict::refuse && !std::exchange(has_told_of_drop_, true))
    shared_->dropped(peer_name(stream_.fd()), "it is none that this program takes, or for an actor that is not open to peers");
  return std::nullopt;
}

// The whole message, if it passes. False when the connection is over.
auto connection::hand_on_message(caf::execution_unit* unit) -> bool {
  const bool is_introduction = basp::is_handshake(next_.read);
  if (next_.verdict == message_gate::verdict::pass) {
    if (!hand_on(unit, next_.header)) return false;
    if (next_.read.payload_len > 0 && !hand_on(unit, next_.payload)) return false;
  }
  shared_->release(std::exchange(next_.held, 0));
  if (std::exchange(next_.is_awaited, false)) shared_->has_rest(*this);
  next_.header.clear();
  next_.payload.clear();
  if (next_.payload.capacity() > kept_capacity) next_.payload = {};
  next_.verdict = message_gate::verdict::pass;
  if (is_introduction && !detached()) forget_spawn_server(*static_cast<caf::io::basp_broker*>(parent()));
  return true;
}

auto connection::hand_on(caf::execution_unit* unit, std::vector<char>& bytes) -> bool {
  handed_on_ = &bytes;
  const bool goes_on = caf::io::scribe::consume(unit, bytes.data(), bytes.size());
  handed_on_ = nullptr;
  return goes_on && !detached();
}

// Of a message that has come in part. CAF gets nothing of it before all of it is there, and ends a connection that brings it nothing for
// its connection timeout: it is told that the peer is alive, unless that takes too long. False when the connection is over.
auto connection::wait_for_the_rest(caf::execution_unit* unit) -> bool {
  const auto now = steady_clock::now();
  if (now - next_.began > shared_->settings.receive_timeout) {
    refuse(shared_->too_slow());
    io_failure(unit, net::operation::read);
    return false;
  }
  if (!std::exchange(next_.is_awaited, true)) shared_->await_rest(*this, next_.began);
  if (now - next_.told < between_signs_of_life) return true;
  next_.told = now;
  shared_->note_part(gate_.peer());
  caf::io::basp::header sign{basp::message_type::heartbeat, 0, 0, 0, caf::invalid_actor_id, caf::invalid_actor_id};
  std::vector<char> bytes;
  caf::binary_serializer sink(unit, bytes);
  return !sink(sign) && hand_on(unit, bytes);
}

// CAF checks headers, too, but takes some that end the process, and any length.
auto connection::wrong_with(const basp::header& header) const -> std::optional<std::string> {
  if (!basp::valid(header)) return "it does not speak CAF's protocol";
  if (basp::is_handshake(header)) {
    const bool is_client = side_ == connection_side::taken;
    const auto expected = is_client ? basp::message_type::client_handshake : basp::message_type::server_handshake;
    if (header.operation != expected || header.payload_len == 0) return "it introduced itself wrongly";
    if (header.payload_len > longest_introduction) return "its introduction is longer than any";
    if (introductions_ >= (is_client ? client_introductions : server_introductions)) return "it introduced itself again and again";
    return std::nullopt;
  }
  if (introductions_ == 0) return "it did not introduce itself first";
  const auto most = shared_->settings.max_message_bytes;
  if (header.payload_len > most)
    return "it announced a message of " + std::to_string(header.payload_len) + " bytes; node.max-message-bytes allows " + std::to_string(most);
  return std::nullopt;
}

// CAF keeps an actor for each peer that it has ever known, which asks for the server that spawns actors there. Here nothing asks for
// it, and no peer of ours would answer.
void connection::forget_spawn_server(caf::io::basp_broker& broker) const {
  const auto server = broker.spawn_servers.find(gate_.peer());
  if (server == broker.spawn_servers.end()) return;  // Nor is there any when the broker has ended.
  caf::anon_send_exit(server->second, caf::exit_reason::kill);
  broker.spawn_servers.erase(server);
}

// The broker lets go of the connection.
void connection::detach_from(caf::io::abstract_broker* broker) {
  // One that the event loop has not even taken in will not be told that it is let go of there, and would keep itself for ever. Whoever is
  // calling still needs it.
  if (!stream_.is_in_loop()) {
    stream_.backend().post([kept = caf::intrusive_ptr<connection>(this)] {});
    stream_.removed_from_loop(net::operation::read);
  }
  caf::io::scribe::detach_from(broker);
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
  if (introductions_ > 0 || why.empty() || std::exchange(given_up_, true)) return;
  reason_ = "TLS: " + why;
  if (side_ == connection_side::taken) shared_->refused(peer_name(stream_.fd()), reason_);
}

void connection::refuse(const std::string& why) {
  if (std::exchange(given_up_, true)) return;
  reason_ = why;
  shared_->refused(peer_name(stream_.fd()), why);
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
