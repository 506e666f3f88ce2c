// One connection of CAF's network layer (transport.hpp), part of CAF 0.17's event loop: all members are called on the network thread,
// unless they say otherwise.
#pragma once

#include <maestro/runtime/tcp.hpp>
#include <maestro/runtime/tls.hpp>
#include <maestro/runtime/transport.hpp>

#include <caf/io/basp/header.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/stream.hpp>
#include <caf/io/scribe.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace maestro {

enum class connection_side {
  made,   ///< By us.
  taken,  ///< Somebody has connected to us.
};

class connection;

/// What all connections of a transport share. Any thread may call any member.
struct transport::shared {
  shared(const transport_settings& with, tls_context_ptr context) : settings(with), tls(std::move(context)) {}

  /// Whether there is room for one more that others have made; it is then counted.
  [[nodiscard]] auto admit() -> bool;
  void leave();

  /// Has those hung up that have not introduced themselves in time, and watches `newest`.
  void watch(connection& newest);
  void unwatch(connection& known);

  /// Logs a refusal, unless there are too many to log.
  void refused(const std::string& peer, const std::string& why);

  const transport_settings settings;
  const tls_context_ptr tls;

 private:
  std::mutex mutex_;
  std::size_t taken_ = 0;
  std::map<std::int64_t, std::pair<std::chrono::steady_clock::time_point, connection*>> strangers_;  // By handle: in order of age.
  std::chrono::steady_clock::time_point logged_;
  std::size_t not_logged_ = 0;
};

/// The address of the other end of `socket`, for people.
[[nodiscard]] auto peer_name(int socket) -> std::string;

/// What is read from and written to a socket, in the clear or through TLS.
class connection_stream final : public caf::io::network::stream {
 public:
  connection_stream(caf::io::network::default_multiplexer& multiplexer, int socket, std::unique_ptr<tls_session> tls, connection& owner);
  void handle_event(caf::io::network::operation operation) override;

  /// False until TLS has shaken hands.
  [[nodiscard]] auto is_ready() const -> bool { return !tls_ || tls_->is_ready(); }
  [[nodiscard]] auto is_writing() const -> bool { return state_.writing; }

 private:
  void shake_hands(caf::io::network::operation operation);

  const std::unique_ptr<tls_session> tls_;
  connection& owner_;
};

class connection final : public caf::io::scribe {
 public:
  /// `tls` is that of one that has shaken hands already; null: this one does it, if the transport uses TLS.
  connection(caf::io::network::default_multiplexer& multiplexer, tcp_socket socket, std::shared_ptr<transport::shared> shared,
             connection_side side, std::unique_ptr<tls_session> tls);
  ~connection() override;

  // What CAF's broker asks of it.
  void configure_read(caf::io::receive_policy::config config) override;
  void ack_writes(bool enable) override { stream_.ack_writes(enable); }
  auto wr_buf() -> std::vector<char>& override { return stream_.is_ready() ? stream_.wr_buf() : held_; }
  auto rd_buf() -> std::vector<char>& override { return stream_.rd_buf(); }
  void flush() override;
  void graceful_shutdown() override;
  auto consume(caf::execution_unit* unit, const void* data, std::size_t size) -> bool override;
  [[nodiscard]] auto addr() const -> std::string override;
  [[nodiscard]] auto port() const -> std::uint16_t override;
  void add_to_loop() override { stream_.activate(this); }
  void remove_from_loop() override { stream_.passivate(); }

  /// From its stream: TLS has shaken hands, or failed.
  void ready();
  void failed(const std::string& why);

  /// Has the event loop find that the connection is broken. Any thread, as long as it holds the connection.
  void hang_up();
  /// For people: why it broke; empty when there is nothing to say. For who made it, after CAF has reported that it broke.
  [[nodiscard]] auto reason() const -> const std::string& { return reason_; }

 private:
  [[nodiscard]] auto wrong_with(const caf::io::basp::header& header) const -> std::optional<std::string>;
  void refuse(const std::string& why);

  const std::shared_ptr<transport::shared> shared_;
  const connection_side side_;
  connection_stream stream_;
  std::vector<char> held_;       // What is to be written when TLS has shaken hands.
  bool launched_ = false;
  bool introduced_ = false;      // The other end has said who it is.
  bool in_payload_ = false;      // What comes next belongs to the last header.
  bool given_up_ = false;
  std::string reason_;
};

}  // namespace maestro
