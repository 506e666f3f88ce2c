// Programs of ours in the circumstances that a shell, a supervisor or the system gives them: descriptors that are
// closed, limits that are low, output that cannot be written, signals.
#include "../store/free_port.hpp"
#include "../store/temporary_folder.hpp"
#include "node_process.hpp"

#include <maestro/store/clock.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

constexpr int broken = 1;
constexpr int usage = 2;
constexpr int retryable = 4;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;  // Which takes terabytes of addresses.
#else
constexpr bool sanitized = false;
#endif

// `command` as a shell starts it behind `before`, a limit, and with `redirections`.
auto shell(const std::string& before, const std::vector<std::string>& command, const std::string& redirections = {})
    -> std::vector<std::string> {
  std::vector<std::string> all{"/bin/sh", "-c",
                               before + (before.empty() ? "" : " && ") + "exec \"$0\" \"$@\" " + redirections};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

auto lines(const std::string& text) -> std::ptrdiff_t {
  return std::count(text.begin(), text.end(), '\n');
}

auto content(const std::string& path) -> std::string {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class Condition>
auto within_patience(Condition&& holds) -> bool {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void check_one_line(const finished_process& ended, int status, std::string_view word) {
  BOOST_TEST(ended.status == status, ended.status << ": " << ended.errors);
  BOOST_TEST(lines(ended.errors) == 1, ended.errors);
  BOOST_TEST((ended.errors.find(word) != std::string::npos), ended.errors << " does not say " << word);
}

// Ends as a program of ours may end, whatever the system refuses it.
void check_ended_well(int status, const std::string& errors) {
  BOOST_TEST((status == 0 || status == broken || status == usage || status == retryable),
             "status " << status << ": " << errors);
  BOOST_TEST((errors.find("terminate called") == std::string::npos), errors);
  BOOST_TEST((status == 0 || lines(errors) > 0), "not a word about status " << status);
}

// Hears what a program tells NOTIFY_SOCKET, as systemd does. `name`: of a file, or, behind a '@', of none.
class supervisor {
 public:
  explicit supervisor(std::string name) : name_(std::move(name)), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(name_.begin(), name_.end(), address.sun_path);
    if (name_.front() == '@') address.sun_path[0] = '\0';
    BOOST_TEST_REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address),
                              static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size())) == 0);
  }
  ~supervisor() { ::close(socket_); }
  supervisor(const supervisor&) = delete;
  auto operator=(const supervisor&) -> supervisor& = delete;

  [[nodiscard]] auto name() const -> const std::string& { return name_; }
  [[nodiscard]] auto next() const -> std::string {
    pollfd waiting{socket_, POLLIN, 0};
    std::array<char, 500> text{};
    if (::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) != 1) return "nothing";
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(::recv(socket_, text.data(), text.size(), 0), 0))};
  }

 private:
  const std::string name_;
  const int socket_;
};

struct serving {
  auto send(const std::string& to, const std::string& payload, const std::vector<std::string>& more = {}) const
      -> finished_process {
    std::vector<std::string> all{"account", "name:" + to, "deposit", payload};
    all.insert(all.end(), more.begin(), more.end());
    return node.maestro("send", all);
  }
  [[nodiscard]] auto maestro(const std::string& verb, const std::vector<std::string>& arguments) const
      -> std::vector<std::string> {
    std::vector<std::string> all{MAESTRO_COMMAND, verb, "--node", node.address().text()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  [[nodiscard]] auto balance() const -> std::string {
    const auto got = node.maestro("get", {"account", "name:alice"});
    const auto at = got.out.find("\"balance\":");
    return at == std::string::npos ? got.errors : got.out.substr(at + 10, got.out.find_first_of(",}", at) - at - 10);
  }

  serving() {
    BOOST_TEST_REQUIRE(
        node.maestro("send", {"account", "name:alice", "open", R"({"owner":"Alice","handle":"@alice"})"}).status == 0);
  }
  ~serving() { BOOST_TEST(node.end() == 0); }

  temporary_folder folder;
  node_process node{"sqlite:" + folder.path("bank.db")};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(programs)

BOOST_AUTO_TEST_CASE(a_closed_descriptor_becomes_no_file_of_the_node) {
  const temporary_folder folder;
  const auto path = folder.path("bank.db");
  // It cannot print where it serves, but tell its supervisor.
  const supervisor told(folder.path("notify"));
  const auto command = node_process::command("sqlite:" + path, {"--log.level=trace"});
  process node(shell("export NOTIFY_SOCKET=" + told.name(), command, "0<&- 1>&- 2>&-"));
  const auto ready = told.next();
  const std::string start = "READY=1\nSTATUS=serves at ";
  BOOST_TEST_REQUIRE(ready.starts_with(start), ready);
  const auto address = node_address::parse(ready.substr(start.size()));
  BOOST_TEST_REQUIRE(address.has_value(), ready);
  auto connected = client::connect(*address, {patience});
  BOOST_TEST_REQUIRE(connected.has_value(), (connected ? "" : to_string(connected.failure())));
  auto client = std::move(*connected);
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    const auto link = "/proc/" + std::to_string(node.pid()) + "/fd/" + std::to_string(descriptor);
    BOOST_TEST(std::filesystem::read_symlink(link).string() == "/dev/null",
               link << " is " << std::filesystem::read_symlink(link));
  }
  const auto got =
      client->send_json("account", derive_aggregate_id("account", "alice"), "open", R"({"owner":"A","handle":"a"})");
  BOOST_TEST(!got.answer.failure, to_string(got.answer.failure));
  client.reset();
  node.send_signal(SIGTERM);
  // Its stdout has ended already: only its end is to be waited for.
  BOOST_TEST(node.wait().value_or(-1) == 0);
  for (const auto* file : {"bank.db", "bank.db.lock"}) {
    const auto held = content(folder.path(file));
    BOOST_TEST((held.find("ready") == std::string::npos && held.find("stopping") == std::string::npos),
               file << " holds the log");
  }
}

BOOST_FIXTURE_TEST_CASE(output_that_cannot_be_written_is_a_failure, serving) {
  for (int i = 0; i < 3; ++i) BOOST_TEST(send("alice", R"({"cents":1})").status == 0);
  for (const std::string to : {"> /dev/full", ">&-"}) {
    for (const auto& command :
         std::vector<std::vector<std::string>>{maestro("get", {"account", "name:alice"}),
                                               maestro("events", {"account", "name:alice"}),
                                               maestro("list", {"account"}),
                                               maestro("replay", {"account", "name:alice", "1"}),
                                               maestro("diff", {"account", "name:alice", "1", "2"}),
                                               maestro("members", {}),
                                               maestro("members", {"--watch"}),
                                               {MAESTRO_COMMAND, "new"},
                                               {MAESTRO_COMMAND, "--help"},
                                               {MAESTRO_COMMAND, "send", "--help"},
                                               {MAESTRO_COMMAND, "--version"},
                                               {MAESTRO_TEST_NODE, "--help"},
                                               {MAESTRO_TEST_NODE, "--version"},
                                               {MAESTRO_TEST_NODE, "--dump-config"}})
      BOOST_TEST_CONTEXT(command[1] << " " << to) {
        check_one_line(run(shell("", command, to)), broken, "could not be written");
      }
    check_one_line(
        run(shell(
            "", {MAESTRO_TEST_NODE, "--migrate", "--store=sqlite:" + folder.path("other" + std::to_string(to.size()))},
            to)),
        broken, "the tables are as they should be, but the output could not be written");
  }
  BOOST_TEST(balance() == "3");
  const auto sent =
      run(shell("", maestro("send", {"account", "name:alice", "deposit", R"({"cents":1})"}), "> /dev/full"));
  check_one_line(sent, broken, "No space left on device");
  BOOST_TEST((sent.errors.find("the command was carried out (--command-id ") != std::string::npos), sent.errors);
  BOOST_TEST((sent.errors.find("sequences 5 to 5") != std::string::npos), sent.errors);
  BOOST_TEST(balance() == "4");
  // A script that waits for a node's `ready` is not to wait for ever.
  check_one_line(run(shell("", {MAESTRO_BANK_NODE, "--port=0", "--store=sqlite::memory:", "--log.level=off"}, "> /dev/full")), broken, "ready");
}

// It was a script's, which has gone.
BOOST_AUTO_TEST_CASE(a_reader_of_the_output_that_has_gone_ends_no_node) {
  const temporary_folder folder;
  const supervisor told(folder.path("notify"));
  const auto pipe = folder.path("pipe");
  const std::string before = "export NOTIFY_SOCKET=" + told.name() + "; mkfifo " + pipe + "; { true < " + pipe + " & } && exec 3> " + pipe + " && wait";
  process node(shell(before, node_process::command("sqlite::memory:"), ">&3 3>&-"));
  const auto ready = told.next();
  BOOST_TEST_REQUIRE(ready.starts_with("READY=1"), ready << node.errors());
  node.send_signal(SIGTERM);
  BOOST_TEST(node.wait().value_or(-1) == 0, node.errors());
}

BOOST_FIXTURE_TEST_CASE(an_export_that_is_cut_is_a_failure, serving) {
  for (int i = 0; i < 2; ++i)
    BOOST_TEST(
        send("alice", R"({"cents":1})", {"--metadata", "{\"note\":\"" + std::string(20'000, 'x') + "\"}"}).status == 0);
  // The file may have 20 blocks of 512 bytes: what is printed first is there.
  const auto path = folder.path("export");
  check_one_line(run(shell("ulimit -f 20", maestro("events", {"account", "name:alice"}), "> " + path)), broken,
                 "could not be written");
  BOOST_TEST(content(path).size() > 0U);
}

BOOST_FIXTURE_TEST_CASE(json_is_read_from_stdin_and_from_files, serving) {
  const auto file = folder.path("command.json");
  std::ofstream(file) << "{\"cents\":\n  7}\n";
  BOOST_TEST(send("alice", "@" + file).status == 0);
  BOOST_TEST(run(shell("", maestro("send", {"account", "name:alice", "deposit", "-"}), "< " + file)).status == 0);
  BOOST_TEST(send("alice", "{\"cents\":1}", {"--metadata", "@" + file}).status == 0);
  BOOST_TEST(balance() == "15");
  // Longer than an argument may be.
  std::ofstream(file) << "{\"cents\":1," << std::string(300'000, ' ') << "\"note\":\"" << std::string(300'000, 'x')
                      << "\"}";
  BOOST_TEST(send("alice", "@" + file).status == 0);
  BOOST_TEST(balance() == "16");

  check_one_line(send("alice", "@" + folder.path("none")), usage, "none cannot be read: No such file or directory");
  check_one_line(send("alice", "@" + folder.path("")), usage, "cannot be read: Is a directory");
  check_one_line(send("alice", "@"), usage, "cannot be read");
  check_one_line(send("alice", "@/dev/zero"), usage, "/dev/zero holds more than");
  check_one_line(run(shell("", maestro("send", {"account", "name:alice", "deposit", "-"}), "< /dev/zero")), usage,
                 "stdin holds more than");
  check_one_line(run(shell("", maestro("send", {"account", "name:alice", "deposit", "-"}), "<&-")), usage,
                 "stdin cannot be read");
  check_one_line(send("alice", "-", {"--metadata", "-"}), usage, "only one of JSON and --metadata");
  check_one_line(run(shell("", maestro("send", {"account", "name:alice", "deposit", "-"}), "< /dev/null")), 3,
                 "malformed_payload");
  BOOST_TEST(balance() == "16");
}

BOOST_FIXTURE_TEST_CASE(one_of_several_nodes_answers, serving) {
  const auto gone = "127.0.0.1:" + std::to_string(free_port());
  const auto here = node.address().text();
  const std::vector<std::string> get{"account", "name:alice"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all{MAESTRO_COMMAND, "get"};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), get.begin(), get.end());
    return all;
  };
  BOOST_TEST(run(with({"--node", gone + "," + here})).status == 0);
  BOOST_TEST(run(with({"--node", gone, "--node", here})).status == 0);
  BOOST_TEST(run(shell("export MAESTRO_NODE=" + here, with({}))).status == 0);
  BOOST_TEST(run(shell("export MAESTRO_NODE=" + gone + "," + here, with({}))).status == 0);
  // The command line beats the environment.
  check_one_line(run(shell("export MAESTRO_NODE=" + here, with({"--node", gone}))), retryable, "node_unavailable");
  check_one_line(run(shell("export MAESTRO_TLS_CERTIFICATE=/said/there",
                           with({"--node", here, "--tls-certificate=/said/here", "--tls-key=x", "--tls-ca=x"}))),
                 usage, "/said/here");
  check_one_line(run(with({"--node", here + ",nowhere"})), usage, "\"nowhere\" is no node address");
  check_one_line(run(shell("export MAESTRO_NODE=nowhere", with({}))), usage, "\"nowhere\" is no node address");
}

BOOST_AUTO_TEST_CASE(too_few_descriptors_are_said) {
  const temporary_folder folder;
  for (const int most : {10, 12, 16, 32, 63})
    check_one_line(
        run(shell("ulimit -n " + std::to_string(most), node_process::command("sqlite:" + folder.path("bank.db")))),
        usage, "the system allows this process " + std::to_string(most) + " open files");
  check_one_line(run(shell("ulimit -n 10", {MAESTRO_COMMAND, "get", "account", "name:alice"})), usage, "open files");
  process enough(shell("ulimit -n 64", node_process::command("sqlite:" + folder.path("bank.db"))));
  BOOST_TEST_REQUIRE(enough.wait_for_line("ready ").has_value(), enough.errors());
  enough.send_signal(SIGTERM);
  BOOST_TEST(enough.wait().value_or(-1) == 0);
}

BOOST_AUTO_TEST_CASE(a_lack_of_memory_or_threads_is_one_line_and_a_status) {
  if (sanitized) return;
  const temporary_folder folder;
  int refused = 0;
  for (int megabytes = 30; megabytes <= 600; megabytes += megabytes < 150 ? 10 : 30) {
    const auto limit = "ulimit -v " + std::to_string(megabytes * 1024);
    // What has not even room for the program's libraries is not ours.
    if (run(shell(limit, {MAESTRO_BANK_NODE, "--version"})).status != 0) continue;
    auto command = node_process::command("sqlite:" + folder.path("bank.db"));
    command.front() = MAESTRO_BANK_NODE;
    process node(shell(limit, command));
    BOOST_TEST_CONTEXT(limit) {
      if (node.wait_for_line("ready "))
        node.send_signal(SIGTERM);
      else
        ++refused;
      const auto status = node.wait();
      BOOST_TEST_REQUIRE(status.has_value());
      check_ended_well(*status, node.errors());
      const auto asked = run(shell(limit, {MAESTRO_COMMAND, "get", "account", "name:alice", "--node", "127.0.0.1:1"}));
      check_ended_well(asked.status, asked.errors);
      BOOST_TEST(lines(asked.errors) == 1, asked.errors);
    }
  }
  BOOST_TEST(refused > 0);
}

BOOST_AUTO_TEST_CASE(a_node_whose_files_may_not_grow_refuses_and_lives) {
  const temporary_folder folder;
  const auto uri = "sqlite:" + folder.path("bank.db");
  BOOST_TEST(node_process(uri).end() == 0);
  // In blocks of 512 bytes: room for some commands more.
  process node(shell("ulimit -f 600", node_process::command(uri, {"--node.drain-timeout=1s"})));
  const auto ready = node.wait_for_line("ready ");
  BOOST_TEST_REQUIRE(ready.has_value(), node.errors());
  client_settings settings;
  settings.timeout = patience;
  const auto connected = client::connect(*node_address::parse(ready->substr(6, ready->find(' ', 6) - 6)), settings);
  BOOST_TEST_REQUIRE(connected.has_value());
  const auto alice = derive_aggregate_id("account", "alice");
  send_options once;
  once.retry = false;
  once.timeout = std::chrono::seconds(3);
  BOOST_TEST(!(*connected)->send_json("account", alice, "open", R"({"owner":"A","handle":"a"})", once).answer.failure);
  once.metadata = "{\"note\":\"" + std::string(100'000, 'x') + "\"}";
  int accepted = 0;
  error refusal;
  while (accepted < 100 && !refusal) {
    refusal = (*connected)->send_json("account", alice, "deposit", R"({"cents":1})", once).answer.failure;
    if (!refusal) ++accepted;
  }
  BOOST_TEST((refusal.kind() == error_kind::retryable || refusal.kind() == error_kind::in_doubt), to_string(refusal));
  node.send_signal(SIGTERM);
  BOOST_TEST(node.wait().value_or(-1) == 0, node.errors());
}

BOOST_AUTO_TEST_CASE(a_node_that_cannot_listen_says_why) {
  node_process first("sqlite::memory:");
  check_one_line(run(node_process::command("sqlite::memory:", {"--port=" + std::to_string(first.address().port)})),
                 retryable, "the port is taken");
  BOOST_TEST(first.end() == 0);
  // Beyond loopback the log has a line of its own.
  const auto refused = [](const std::string& host, std::string_view word) {
    const auto ended = run(node_process::command("sqlite::memory:", {"--host=" + host, "--node.insecure-listen=true"}));
    BOOST_TEST(ended.status == usage);
    BOOST_TEST((ended.errors.find("invalid_setting: cannot listen on " + host) != std::string::npos), ended.errors);
    BOOST_TEST((ended.errors.find(word) != std::string::npos), ended.errors);
  };
  refused("127.0.0.1.example.invalid", "none of this machine");
  refused("192.0.2.1", "the address is not this machine's");
}

BOOST_AUTO_TEST_CASE(a_loopback_address_may_stand_in_brackets) {
  node_process node("sqlite::memory:", {"--host=[::1]"});
  BOOST_TEST(node.address().host == "::1");
  BOOST_TEST(node.maestro("get", {"account", "name:alice"}).status == 0);
  BOOST_TEST(node.end() == 0);
}

BOOST_AUTO_TEST_CASE(hup_opens_the_log_file_anew_and_usr_is_ignored) {
  const temporary_folder folder;
  const auto log = folder.path("node.log");
  node_process node("sqlite:" + folder.path("bank.db"), {"--log.level=info", "--log.file=" + log});
  for (const int ignored : {SIGUSR1, SIGUSR2}) node.child().send_signal(ignored);
  BOOST_TEST_REQUIRE(::rename(log.c_str(), (log + ".1").c_str()) == 0);
  node.child().send_signal(SIGHUP);
  BOOST_TEST(within_patience([&] { return content(log).find("opened anew") != std::string::npos; }));
  BOOST_TEST(node.maestro("get", {"account", "name:alice"}).status == 0);
  // Where it cannot be opened, the log goes on to the file that there is.
  BOOST_TEST_REQUIRE(::rename(log.c_str(), (log + ".2").c_str()) == 0);
  std::filesystem::create_directory(log);
  node.child().send_signal(SIGHUP);
  BOOST_TEST(within_patience([&] { return content(log + ".2").find("cannot be opened anew") != std::string::npos; }));
  BOOST_TEST(node.end() == 0);
  BOOST_TEST((content(log + ".2").find("stopping on SIGTERM") != std::string::npos));
  BOOST_TEST((content(log + ".1").find("opened anew") == std::string::npos));
}

BOOST_AUTO_TEST_CASE(a_supervisor_is_told_when_a_node_serves_and_when_it_stops) {
  const temporary_folder folder;
  for (const auto& name : {folder.path("notify"), "@" + folder.path("notify")}) {
    const supervisor told(name);
    process node(shell("export NOTIFY_SOCKET=" + name, node_process::command("sqlite::memory:")));
    BOOST_TEST_REQUIRE(node.wait_for_line("ready ").has_value(), node.errors());
    const auto ready = told.next();
    BOOST_TEST(ready.starts_with("READY=1\n"), ready);
    node.send_signal(SIGTERM);
    BOOST_TEST(told.next() == "STOPPING=1");
    BOOST_TEST(node.wait().value_or(-1) == 0);
  }
  // One that is not there is a warning, and no reason to end.
  process node(shell("export NOTIFY_SOCKET=" + folder.path("none"),
                     node_process::command("sqlite::memory:", {"--log.level=warn"})));
  BOOST_TEST_REQUIRE(node.wait_for_line("ready ").has_value(), node.errors());
  node.send_signal(SIGTERM);
  BOOST_TEST(node.wait().value_or(-1) == 0);
  BOOST_TEST((node.errors().find("cannot be told READY=1") != std::string::npos), node.errors());
}

BOOST_AUTO_TEST_SUITE_END()
