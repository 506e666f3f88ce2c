#include <maestro/store/postgres/connecting.hpp>

#include <maestro/store/postgres/failure.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <libpq-fe.h>
#include <limits>
#include <netdb.h>
#include <poll.h>
#include <string_view>
#include <utility>

namespace maestro::postgres {

namespace {

using steady_clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds between_looks{50};

auto text_of(const char* text) -> std::string { return text != nullptr ? text : ""; }

// Where libpq is just now.
auto place_of(PGconn* connection) -> host_choice {
  return {text_of(PQhost(connection)), text_of(PQhostaddr(connection)), text_of(PQport(connection))};
}

auto is_same_place(const host_choice& a, const host_choice& b) -> bool {
  return a.host == b.host && a.address == b.address && a.port == b.port;
}

auto is_socket(const std::string& host) -> bool { return host.starts_with('/') || host.starts_with('@'); }

// In libpq's words.
auto late_line(const host_choice& place) -> std::string {
  if (is_socket(place.host))
    return "connection to server on socket \"" + place.host + "/.s.PGSQL." + place.port + "\" failed: timeout expired";
  const auto with_address = place.address.empty() || place.address == place.host ? "" : " (" + place.address + ")";
  return "connection to server at \"" + place.host + "\"" + with_address + ", port " + place.port + " failed: timeout expired";
}

// What the parameters, the environment and service files come to.
class effective_options {
 public:
  explicit effective_options(PGconn* of) : all_(PQconninfo(of), PQconninfoFree) {}
  [[nodiscard]] auto value(std::string_view keyword) const -> std::string {
    for (auto* option = all_.get(); option != nullptr && option->keyword != nullptr; ++option)
      if (option->keyword == keyword) return text_of(option->val);
    return {};
  }
  [[nodiscard]] auto list(std::string_view keyword) const -> std::vector<std::string> {
    std::vector<std::string> parts;
    const std::string all = value(keyword);
    if (all.empty()) return parts;
    for (std::size_t at = 0; at <= all.size();) {
      const auto comma = std::min(all.find(',', at), all.size());
      parts.push_back(all.substr(at, comma - at));
      at = comma + 1;
    }
    return parts;
  }

 private:
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> all_;
};

auto timeout_of(const effective_options& options) -> std::optional<std::chrono::milliseconds> {
  const std::string text = options.value("connect_timeout");
  if (text.empty()) return std::nullopt;
  std::int32_t seconds = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (problem != std::errc{} || end != text.data() + text.size())
    throw failure("", "", "the value of connection option \"connect_timeout\" is no integer", true);
  if (seconds <= 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

auto hosts_of(const effective_options& options) -> std::vector<host_choice> {
  const auto hosts = options.list("host");
  const auto addresses = options.list("hostaddr");
  const auto ports = options.list("port");
  const auto at = [](const std::vector<std::string>& list, std::size_t i) { return i < list.size() ? list[i] : std::string(); };
  std::vector<host_choice> all;
  for (std::size_t i = 0; i < std::max(hosts.size(), addresses.size()); ++i)
    all.push_back({at(hosts, i), at(addresses, i), ports.size() == 1 ? ports.front() : at(ports, i)});
  return all;
}

// The bytes of an address in digits, however it is written; empty for a name.
auto bytes_of(const std::string& address) -> std::string {
  std::array<char, 16> bytes{};
  if (::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return {};
}

auto is_same_address(const std::string& a, const std::string& b) -> bool {
  const auto bytes = bytes_of(a);
  return a == b || (!bytes.empty() && bytes == bytes_of(b));
}

auto is_tried_at(const host_choice& choice, const host_choice& place) -> bool {
  if (!choice.port.empty() && choice.port != place.port) return false;
  if (!choice.address.empty()) return is_same_address(choice.address, place.address);
  return choice.host == place.host;
}

// All addresses of a name, in the order in which libpq tries them.
auto addresses_of(const std::string& name) -> std::vector<std::string> {
  std::vector<std::string> all;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (is_socket(name) || ::getaddrinfo(name.c_str(), nullptr, &wanted, &found) != 0) return all;
  for (const auto* each = found; each != nullptr; each = each->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
      all.emplace_back(text.data());
  }
  ::freeaddrinfo(found);
  return all;
}

// `hosts` without the address at which libpq was when its time was over. A name stands for its other addresses then.
auto without(const std::vector<host_choice>& hosts, const host_choice& late) -> std::vector<host_choice> {
  std::vector<host_choice> left;
  bool is_found = false;
  for (const auto& each : hosts) {
    if (each.host.empty() && each.address.empty()) continue;
    if (is_found || !is_tried_at(each, late)) {
      left.push_back(each);
      continue;
    }
    is_found = true;
    if (!each.address.empty()) continue;
    for (const auto& address : addresses_of(each.host))
      if (!is_same_address(address, late.address)) left.push_back({each.host, address, each.port});
  }
  return is_found ? left : std::vector<host_choice>();
}

}  // namespace

auto wait_for(PGconn* connection, short events, steady_clock::time_point deadline, const line_cutter& lines) -> wait_end {
  while (true) {
    if (lines.is_cut()) return wait_end::cut;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return wait_end::late;
    pollfd socket{PQsocket(connection), events, 0};
    const int ready = ::poll(&socket, 1, static_cast<int>(std::min(left, between_looks).count()));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return wait_end::ready;
  }
}

auto complete(PGconn* connection, std::optional<std::chrono::milliseconds> each_address, steady_clock::time_point deadline,
              const line_cutter& lines) -> wait_end {
  const auto time_is_over = [&] { return each_address ? std::min(deadline, steady_clock::now() + *each_address) : deadline; };
  auto place = place_of(connection);
  auto until = time_is_over();
  auto next = PGRES_POLLING_WRITING;
  while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    const auto end = wait_for(connection, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, until, lines);
    if (end != wait_end::ready) return end;
    next = PQconnectPoll(connection);
    if (auto now = place_of(connection); !is_same_place(now, place)) {
      place = std::move(now);
      until = time_is_over();
    }
  }
  return wait_end::ready;
}

// libpq goes on to the next address by itself when one refuses, but not when one is silent: then a new connection begins, to the others.
auto connect(const begin_connection& begin, const line_cutter& lines) -> attempt {
  attempt done;
  std::vector<host_choice> hosts;
  while (true) {
    done.connection.reset(begin(hosts));
    if (!done.connection || PQstatus(done.connection.get()) == CONNECTION_BAD) return done;
    const effective_options options(done.connection.get());
    const auto end = complete(done.connection.get(), timeout_of(options), steady_clock::time_point::max(), lines);
    done.is_cut = end == wait_end::cut;
    if (end != wait_end::late) return done;
    const auto late = place_of(done.connection.get());
    done.late += (done.late.empty() ? "" : " ") + late_line(late);
    if (hosts.empty()) hosts = hosts_of(options);
    hosts = without(hosts, late);
    done.connection.reset();
    if (hosts.empty()) return done;
  }
}

}  // namespace maestro::postgres
