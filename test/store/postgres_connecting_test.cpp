// Servers that do not answer while a store connects: the way to them can be cut off, and each gets its time. No server is needed.
#include "mute_server.hpp"

#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

#include <dlfcn.h>
#include <netdb.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <string_view>

// The C library's, but that two.test is a name of two addresses.
extern "C" auto getaddrinfo(const char* name, const char* service, const addrinfo* wanted, addrinfo** found) noexcept(false) -> int {
  static const auto real = reinterpret_cast<int (*)(const char*, const char*, const addrinfo*, addrinfo**)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (name == nullptr || std::string_view(name) != "two.test") return real(name, service, wanted, found);
  addrinfo* second = nullptr;
  const int failed = real("127.0.0.2", service, wanted, &second);
  if (failed != 0) return failed;
  if (const int also_failed = real("127.0.0.1", service, wanted, found); also_failed != 0) return also_failed;
  auto* last = *found;
  while (last->ai_next != nullptr) last = last->ai_next;
  last->ai_next = second;
  return 0;
}

using namespace maestro;
using namespace maestro::test;
using namespace std::chrono_literals;

namespace {

// Far more than anything here takes on a busy machine, far less than what is cut off would take.
constexpr auto patience = 30s;
constexpr auto unbearable = 100s;

auto opened(const std::string& hosts, const std::string& parameters, const store_settings& settings = {}) -> std::shared_ptr<database> {
  auto made = open_database("postgresql://someone:s3cret@" + hosts + "/bank?sslmode=disable&gssencmode=disable" + parameters, settings);
  BOOST_TEST_REQUIRE(made.has_value());
  return *made;
}

// Cuts `database` off while it connects, once `is_on_the_way`.
template <class Condition>
void check_cut_off(const std::shared_ptr<database>& database, Condition is_on_the_way) {
  auto checked = std::async(std::launch::async, [&] { return database->check({}); });
  BOOST_TEST(is_on_the_way());
  BOOST_TEST((checked.wait_for(0s) == std::future_status::timeout));
  const auto cut_at = std::chrono::steady_clock::now();
  database->cut_off();
  const auto failure = checked.get().failure();
  BOOST_TEST((std::chrono::steady_clock::now() - cut_at < patience));
  BOOST_TEST((failure.code == errc::store_unavailable));
  BOOST_TEST(failure.message.ends_with("this program ends, and connects no more"), failure.message);
}

auto contains(const std::string& text, const std::string& part) -> bool { return text.find(part) != text.npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(postgres_connecting)

BOOST_AUTO_TEST_CASE(who_waits_for_a_server_that_says_nothing_can_be_cut_off) {
  const mute_server server;
  store_settings settings;
  settings.connect_timeout = unbearable;
  check_cut_off(opened(server.at(), "", settings), [&] { return server.is_called(); });
  const mute_server first;
  const mute_server second;
  check_cut_off(opened(first.at() + "," + second.at(), "&connect_timeout=0"), [&] { return first.is_called(); });
}

BOOST_AUTO_TEST_CASE(who_waits_for_an_address_that_hears_nothing_can_be_cut_off) {
  mute_server server(0);
  server.fill();
  store_settings settings;
  settings.connect_timeout = unbearable;
  // On its way as soon as it has begun; cut off before, it ends alike.
  check_cut_off(opened(server.at(), "", settings), [] { return true; });
}

BOOST_AUTO_TEST_CASE(each_host_has_its_time_and_is_named) {
  const mute_server first;
  const mute_server second;
  store_settings settings;
  settings.connect_timeout = 1s;
  const auto began = std::chrono::steady_clock::now();
  const auto failure = opened("127.0.0.1:1," + first.at() + "," + second.at() + ",127.0.0.1:2", "", settings)->check({}).failure();
  const auto took = std::chrono::steady_clock::now() - began;
  BOOST_TEST((took >= 2s && took < patience));
  BOOST_TEST(first.is_called());
  BOOST_TEST(second.is_called());
  BOOST_TEST((failure.code == errc::store_unavailable));
  for (const auto* each : {&first, &second})
    BOOST_TEST(contains(failure.message, "port " + each->at().substr(10) + " failed: timeout expired"), failure.message);
  for (const std::string port : {"1", "2"})
    BOOST_TEST(contains(failure.message, "port " + port + " failed: Connection refused"), failure.message);
  BOOST_TEST(!contains(failure.message, "s3cret"));
}

// Each of them is another host to libpq, with or without a name beside it.
BOOST_AUTO_TEST_CASE(hosts_are_told_apart_however_they_are_written) {
  for (const std::string parameters : {"host=127.0.0.1,127.0.0.1", "hostaddr=127.0.0.1,127.0.0.1", "host=a,b&hostaddr=127.0.0.1,127.0.0.1"}) {
    const mute_server silent;
    auto made = open_database("postgresql:///bank?sslmode=disable&connect_timeout=1&" + parameters + "&port=" + silent.at().substr(10) + ",1");
    BOOST_TEST_REQUIRE(made.has_value());
    const auto failure = (*made)->check({}).failure();
    BOOST_TEST(contains(failure.message, "port " + silent.at().substr(10) + " failed: timeout expired"), failure.message);
    BOOST_TEST(contains(failure.message, "port 1 failed: Connection refused"), failure.message);
  }
}

BOOST_AUTO_TEST_CASE(each_address_of_a_name_has_its_time) {
  const mute_server silent;
  const auto port = silent.at().substr(10);
  const auto failure = opened("two.test:" + port, "&connect_timeout=1")->check({}).failure();
  BOOST_TEST(silent.is_called());
  BOOST_TEST(contains(failure.message, "\"two.test\" (127.0.0.1), port " + port + " failed: timeout expired"), failure.message);
  BOOST_TEST(contains(failure.message, "127.0.0.2"), failure.message);
  BOOST_TEST(contains(failure.message, ", port " + port + " failed: Connection refused"), failure.message);
}

BOOST_AUTO_TEST_CASE(a_time_that_is_none_is_refused) {
  const mute_server server;
  const auto failure = opened(server.at(), "&connect_timeout=soon")->check({}).failure();
  BOOST_TEST(contains(failure.message, "connect_timeout"), failure.message);
}

BOOST_AUTO_TEST_SUITE_END()
