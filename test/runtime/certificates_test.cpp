// The certificates that `maestro certificates` makes, held against OpenSSL's own verification; and the command as users run it.
#include <maestro/runtime/certificates.hpp>

#include "../node/process.hpp"
#include "../store/temporary_folder.hpp"
#include "scratch_file.hpp"

#include <boost/test/unit_test.hpp>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace maestro;
using namespace maestro::test;

namespace {

using bio_pointer = std::shared_ptr<BIO>;
using certificate_pointer = std::shared_ptr<X509>;
using key_pointer = std::shared_ptr<EVP_PKEY>;

auto open_file(const std::string& path) -> bio_pointer { return {BIO_new_file(path.c_str(), "r"), BIO_free_all}; }

auto read_certificate(const std::string& path) -> certificate_pointer {
  certificate_pointer read(PEM_read_bio_X509(open_file(path).get(), nullptr, nullptr, nullptr), X509_free);
  BOOST_TEST_REQUIRE(read.get(), path);
  return read;
}

auto read_key(const std::string& path) -> key_pointer {
  key_pointer read(PEM_read_bio_PrivateKey(open_file(path).get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  BOOST_TEST_REQUIRE(read.get(), path);
  return read;
}

// What a peer would say of `certificate`: X509_V_OK, or why it is refused. As strict as OpenSSL can be.
auto verify(const certificate_pointer& certificate, const certificate_pointer& authority, int purpose, const std::string& host = {},
            std::time_t when = 0) -> int {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> trusted(X509_STORE_new(), X509_STORE_free);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(X509_STORE_CTX_new(), X509_STORE_CTX_free);
  X509_STORE_add_cert(trusted.get(), authority.get());
  X509_STORE_CTX_init(context.get(), trusted.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  auto* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
  if (when != 0) X509_VERIFY_PARAM_set_time(parameters, when);
  if (!host.empty() && X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) != 1)
    X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), 0);
  return X509_verify_cert(context.get()) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context.get());
}

auto days_from_now(int days) -> std::time_t { return std::time(nullptr) + days * std::time_t{24 * 60 * 60}; }

auto mode_of(const std::string& path) -> int {
  struct stat found {};
  BOOST_TEST_REQUIRE(::stat(path.c_str(), &found) == 0, path);
  return found.st_mode & 07777;
}

auto names_in(const std::string& folder) -> std::set<std::string> {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

auto why(const result<std::vector<made_file>>& made) -> std::string { return made ? "made" : to_string(made.failure()); }

// A folder for certificates that is not there yet.
struct workshop {
  auto make(const std::function<void(certificate_options&)>& change = [](auto&) {}) -> result<std::vector<made_file>> {
    certificate_options options;
    options.folder = folder;
    change(options);
    return make_certificates(options);
  }
  void must(const std::function<void(certificate_options&)>& change = [](auto&) {}) {
    const auto made = make(change);
    BOOST_TEST_REQUIRE(made.has_value(), why(made));
  }
  void refuses(const std::string& words, const std::function<void(certificate_options&)>& change = [](auto&) {}) {
    const auto made = make(change);
    BOOST_TEST_REQUIRE(!made.has_value(), "done, not refused with: " << words);
    BOOST_TEST((made.failure().code == errc::invalid_argument), to_string(made.failure()));
    BOOST_TEST((made.failure().message.find(words) != std::string::npos), made.failure().message << " does not say " << words);
  }
  auto path(const std::string& name) const -> std::string { return folder + "/" + name; }
  auto certificate(const std::string& name) const -> certificate_pointer { return read_certificate(path(name + ".crt")); }
  void put(const std::string& name, const std::string& content) const { std::ofstream(path(name)) << content; }

  temporary_folder parent;
  const std::string folder = parent.path("certificates");
};

const std::set<std::string> all_files{"ca.crt", "ca.key", "client.crt", "client.key", "node.crt", "node.key"};

// Files of this process cannot grow meanwhile, as on a disk that is full.
class full_disk {
 public:
  full_disk() {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none{100, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~full_disk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  full_disk(const full_disk&) = delete;
  auto operator=(const full_disk&) -> full_disk& = delete;

 private:
  void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before_{};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(certificates, workshop)

BOOST_AUTO_TEST_CASE(a_node_stands_for_both_ends_and_a_client_for_a_client_only) {
  must();
  const auto authority = certificate("ca");
  BOOST_TEST(verify(certificate("node"), authority, X509_PURPOSE_SSL_SERVER) == X509_V_OK);
  BOOST_TEST(verify(certificate("node"), authority, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  BOOST_TEST(verify(certificate("client"), authority, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  BOOST_TEST(verify(certificate("client"), authority, X509_PURPOSE_SSL_SERVER) == X509_V_ERR_INVALID_PURPOSE);
}

BOOST_AUTO_TEST_CASE(another_authority_and_a_certificate_that_issues_are_refused) {
  must();
  workshop other;
  other.must();
  BOOST_TEST(verify(certificate("node"), other.certificate("ca"), X509_PURPOSE_SSL_SERVER) != X509_V_OK);
  const auto authority = certificate("ca");
  BOOST_TEST(X509_check_ca(authority.get()) == 1);
  BOOST_TEST(X509_get_pathlen(authority.get()) == 0);
  for (const auto* name : {"node", "client"}) {
    BOOST_TEST((X509_get_extension_flags(certificate(name).get()) & EXFLAG_CA) == 0U, name);
    BOOST_TEST(X509_get_key_usage(certificate(name).get()) == static_cast<unsigned>(KU_DIGITAL_SIGNATURE), name);
  }
}

BOOST_AUTO_TEST_CASE(keys_are_of_p_256_and_belong_to_their_certificates) {
  must();
  std::set<std::string> serials;
  for (const auto* name : {"ca", "node", "client"}) {
    const auto key = read_key(path(std::string(name) + ".key"));
    const auto made = certificate(name);
    BOOST_TEST(X509_check_private_key(made.get(), key.get()) == 1, name);
    BOOST_TEST(EVP_PKEY_get_bits(key.get()) == 256);
    BOOST_TEST(X509_get_signature_nid(made.get()) == NID_ecdsa_with_SHA256);
    BOOST_TEST(read_whole_file(path(std::string(name) + ".key")).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    const std::unique_ptr<BIGNUM, decltype(&BN_free)> serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(made.get()), nullptr), BN_free);
    BOOST_TEST((BN_num_bits(serial.get()) > 64 && BN_num_bits(serial.get()) <= 128 && !BN_is_negative(serial.get())));
    serials.insert({reinterpret_cast<const char*>(X509_get0_serialNumber(made.get())->data),
                    static_cast<std::size_t>(X509_get0_serialNumber(made.get())->length)});
    for (const int extension : {NID_basic_constraints, NID_key_usage})
      BOOST_TEST(X509_EXTENSION_get_critical(X509_get_ext(made.get(), X509_get_ext_by_NID(made.get(), extension, -1))) == 1);
    BOOST_TEST(X509_get0_subject_key_id(made.get()));
    BOOST_TEST(X509_get0_authority_key_id(made.get()));
  }
  BOOST_TEST(serials.size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_node_is_reached_at_the_hosts_that_were_named) {
  must();
  const auto authority = certificate("ca");
  for (const auto* host : {"localhost", "127.0.0.1", "::1"})
    BOOST_TEST(verify(certificate("node"), authority, X509_PURPOSE_SSL_SERVER, host) == X509_V_OK, host);
  BOOST_TEST(verify(certificate("node"), authority, X509_PURPOSE_SSL_SERVER, "node") == X509_V_ERR_HOSTNAME_MISMATCH);

  must([](auto& options) {
    options.name = "east";
    options.hosts = {"east.example.org", "10.1.2.3", "fe80::1"};
  });
  for (const auto* host : {"east.example.org", "10.1.2.3", "fe80::1"})
    BOOST_TEST(verify(certificate("east"), authority, X509_PURPOSE_SSL_SERVER, host) == X509_V_OK, host);
  BOOST_TEST(verify(certificate("east"), authority, X509_PURPOSE_SSL_SERVER, "localhost") == X509_V_ERR_HOSTNAME_MISMATCH);
  BOOST_TEST(verify(certificate("east"), authority, X509_PURPOSE_SSL_SERVER, "127.0.0.1") == X509_V_ERR_IP_ADDRESS_MISMATCH);
}

BOOST_AUTO_TEST_CASE(they_are_valid_from_five_minutes_ago_until_their_days_are_over) {
  must([](auto& options) { options.days = 10; });
  const auto node = certificate("node");
  const auto authority = certificate("ca");
  const auto at = [&](std::time_t when) { return verify(node, authority, X509_PURPOSE_SSL_SERVER, {}, when); };
  BOOST_TEST(at(days_from_now(0) - 240) == X509_V_OK);
  BOOST_TEST(at(days_from_now(0) - 360) == X509_V_ERR_CERT_NOT_YET_VALID);
  BOOST_TEST(at(days_from_now(10) - 60) == X509_V_OK);
  BOOST_TEST(at(days_from_now(10) + 60) == X509_V_ERR_CERT_HAS_EXPIRED);
  BOOST_TEST(verify(authority, authority, X509_PURPOSE_ANY, {}, days_from_now(100) - 60) == X509_V_OK);
  BOOST_TEST(verify(authority, authority, X509_PURPOSE_ANY, {}, days_from_now(100) + 60) == X509_V_ERR_CERT_HAS_EXPIRED);
}

BOOST_AUTO_TEST_CASE(keys_are_for_their_owner_alone_whatever_the_umask) {
  for (const mode_t mask : {0000, 0077}) {
    workshop shop;
    const auto before = ::umask(mask);
    const auto made = shop.make();
    ::umask(before);
    BOOST_TEST_REQUIRE(made.has_value(), why(made));
    BOOST_TEST(mode_of(shop.folder) == 0700);
    for (const auto& name : all_files) BOOST_TEST(mode_of(shop.path(name)) == (name.ends_with(".key") ? 0600 : 0644), name);
  }
}

BOOST_AUTO_TEST_CASE(the_authority_issues_further_certificates) {
  must();
  const auto authority_before = read_whole_file(path("ca.crt")) + read_whole_file(path("ca.key"));
  must([](auto& options) {
    options.name = "node-2";
    options.use = certificate_use::node;
  });
  must([](auto& options) {
    options.name = "reports";
    options.use = certificate_use::client;
  });
  BOOST_TEST(read_whole_file(path("ca.crt")) + read_whole_file(path("ca.key")) == authority_before);
  const auto authority = certificate("ca");
  BOOST_TEST(verify(certificate("node-2"), authority, X509_PURPOSE_SSL_SERVER, "localhost") == X509_V_OK);
  BOOST_TEST(verify(certificate("reports"), authority, X509_PURPOSE_SSL_CLIENT) == X509_V_OK);
  BOOST_TEST(verify(certificate("reports"), authority, X509_PURPOSE_SSL_SERVER) == X509_V_ERR_INVALID_PURPOSE);
  BOOST_TEST(names_in(folder).size() == all_files.size() + 4);
}

BOOST_AUTO_TEST_CASE(the_first_certificate_may_have_a_name_too) {
  must([](auto& options) { options.name = "east"; });
  BOOST_TEST((names_in(folder) == std::set<std::string>{"ca.crt", "ca.key", "east.crt", "east.key"}));
}

BOOST_AUTO_TEST_CASE(no_file_is_overwritten_and_nothing_half_made_stays) {
  // Each of them may be there already; the others must go again.
  for (const auto* name : {"node.crt", "node.key", "client.crt", "client.key"}) {
    workshop shop;
    std::filesystem::create_directory(shop.folder);
    shop.put(name, "somebody's");
    shop.refuses(shop.path(name) + " is there already");
    BOOST_TEST((names_in(shop.folder) == std::set<std::string>{name}));
    BOOST_TEST(read_whole_file(shop.path(name)) == "somebody's");
  }
  must();
  refuses("node.crt is there already");
  must([](auto& options) { options.name = "east"; });
  refuses("east.crt is there already", [](auto& options) { options.name = "east"; });
  // Nor what a link points to.
  std::filesystem::create_symlink(path("elsewhere"), path("west.key"));
  refuses("west.key is there already", [](auto& options) { options.name = "west"; });
  BOOST_TEST(!std::filesystem::exists(path("elsewhere")));
  BOOST_TEST(!std::filesystem::exists(path("west.crt")));
}

BOOST_AUTO_TEST_CASE(a_folder_of_others_is_fine) {
  std::filesystem::create_directory(folder);
  std::filesystem::permissions(folder, std::filesystem::perms(0755));
  put("node.conf", "maestro { }");
  must();
  BOOST_TEST(mode_of(folder) == 0755);
  BOOST_TEST(names_in(folder).size() == all_files.size() + 1);
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_full_leaves_nothing) {
  const auto made = [&] {
    const full_disk full;
    return make();
  }();
  BOOST_TEST_REQUIRE(!made.has_value());
  BOOST_TEST(made.failure().message == path("ca.crt") + " cannot be written: File too large");
  BOOST_TEST(!std::filesystem::exists(folder));
}

BOOST_AUTO_TEST_CASE(an_authority_that_cannot_be_used_is_refused_and_named) {
  must();
  workshop other;
  other.must([](auto& options) { options.days = 36; });  // Its authority ends in 360.
  other.refuses("days, before what it would issue for 361", [](auto& options) {
    options.name = "late";
    options.days = 361;
  });
  other.must([](auto& options) {
    options.name = "early";
    options.days = 359;
  });

  const auto key = read_whole_file(path("ca.key"));
  std::filesystem::remove(path("ca.key"));
  const auto next = [](auto& options) { options.name = "next"; };
  refuses("ca.key only one can be found", next);
  put("ca.key", read_whole_file(other.path("ca.key")));
  refuses("ca.key is not the key of", next);
  put("ca.key", "no key");
  refuses("ca.key is no private key", next);
  {
    // One with a password: nobody is asked for it.
    const auto plain = other.path("ca.key");
    const bio_pointer to(BIO_new_file(path("ca.key").c_str(), "w"), BIO_free_all);
    char password[] = "secret";
    BOOST_TEST_REQUIRE(PEM_write_bio_PKCS8PrivateKey(to.get(), read_key(plain).get(), EVP_aes_256_cbc(), password, 6, nullptr, nullptr) == 1);
  }
  refuses("ca.key is no private key in PEM form without a password", next);
  put("ca.key", key);
  put("ca.crt", read_whole_file(path("node.crt")));
  refuses("ca.crt is no authority's certificate", next);
  put("ca.crt", "no certificate");
  refuses("ca.crt is no authority's certificate", next);
  BOOST_TEST((names_in(folder) == all_files));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_asked_for_is_refused) {
  for (const std::string host : {"", "a b", "node:4242", "a,DNS:b", "a..b", ".a", "a.", "-a", "http://a", "1.2.3.4/8", "*"})
    refuses("\"" + host + "\" is no host", [&](auto& options) { options.hosts = {"localhost", host}; });
  for (const auto& name : std::vector<std::string>{"ca", "..", "../node", "a/b", "-a", "a b", "a\n", std::string(65, 'a')})
    refuses("is no name for a certificate", [&](auto& options) { options.name = name; });
  for (const int days : {-1, 0, 3651}) refuses("1 to 3650 days", [&](auto& options) { options.days = days; });
  refuses("names no host", [](auto& options) {
    options.name = "reports";
    options.use = certificate_use::client;
    options.hosts = {"localhost"};
  });
  refuses("has no name", [](auto& options) { options.folder = ""; });
  BOOST_TEST(!std::filesystem::exists(folder));
  refuses("cannot be made: No such file or directory", [](auto& options) { options.folder += "/deeper"; });
  std::ofstream(folder) << "a file";
  refuses("cannot be made: Not a directory");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(certificates_command, workshop)

BOOST_AUTO_TEST_CASE(each_file_is_said_on_a_line_of_its_own) {
  const auto ended = run({MAESTRO_COMMAND, "certificates", folder, "--host", "localhost", "--host=10.0.0.7", "--days=30"});
  BOOST_TEST(ended.status == 0);
  BOOST_TEST(ended.errors == "");
  const auto line = [&](const std::string& name, const std::string& whom) {
    return "{\"made\":\"" + path(name) + "\",\"for\":\"" + whom + "\"}\n";
  };
  BOOST_TEST(ended.out == line("ca.crt", "everybody, to check the others") +
                              line("ca.key", "nobody but who issues certificates: keep it off the nodes") + line("node.crt", "nodes") +
                              line("node.key", "nodes alone") + line("client.crt", "clients") + line("client.key", "clients alone"));
  BOOST_TEST(verify(certificate("node"), certificate("ca"), X509_PURPOSE_SSL_SERVER, "10.0.0.7") == X509_V_OK);

  const auto further = run({MAESTRO_COMMAND, "certificates", "--for", "client", "--name", "reports", folder, "--days=30"});
  BOOST_TEST(further.status == 0, further.errors);
  BOOST_TEST(further.out == line("reports.crt", "clients") + line("reports.key", "clients alone"));
  BOOST_TEST(verify(certificate("reports"), certificate("ca"), X509_PURPOSE_SSL_SERVER) == X509_V_ERR_INVALID_PURPOSE);
}

BOOST_AUTO_TEST_CASE(what_goes_wrong_is_one_line_and_wrong_usage) {
  must();
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& words) {
    std::vector<std::string> command{MAESTRO_COMMAND, "certificates"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const auto ended = run(command);
    BOOST_TEST(ended.status == 2, words);
    BOOST_TEST(ended.out == "");
    BOOST_TEST((std::count(ended.errors.begin(), ended.errors.end(), '\n') == 1 && ended.errors.ends_with('\n')), ended.errors);
    BOOST_TEST(ended.errors.starts_with("maestro: invalid_argument: "), ended.errors);
    BOOST_TEST((ended.errors.find(words) != std::string::npos), ended.errors << " does not say " << words);
  };
  refused({folder}, path("node.crt") + " is there already");
  refused({}, "DIR is required");
  refused({folder, "--name", "x"}, "--for");
  refused({folder, "--for", "node"}, "--name");
  refused({folder, "--name", "x", "--for", "both"}, "must be node or client, not both");
  refused({folder, "--name", "../x", "--for", "node"}, "is no name for a certificate");
  refused({folder, "--host", "a b"}, "\"a b\" is no host");
  refused({folder, "--host"}, "--host");
  refused({folder, "--days", "0"}, "1 to 3650 days");
  refused({folder, "--days", "many"}, "--days");
  refused({folder, "further"}, "further");
  BOOST_TEST((names_in(folder) == all_files));
}

BOOST_AUTO_TEST_SUITE_END()
