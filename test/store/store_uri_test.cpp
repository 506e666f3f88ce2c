// Which store a URI names, and what of it may be shown.
#include <maestro/store/redaction.hpp>
#include <maestro/store/store.hpp>

#include <boost/test/unit_test.hpp>

using namespace maestro;

BOOST_AUTO_TEST_SUITE(store_uris)

BOOST_AUTO_TEST_CASE(a_password_is_never_shown) {
  for (const auto& [uri, shown] : std::vector<std::pair<std::string, std::string>>{
           {"postgresql://host/db", "postgresql://host/db"},
           {"postgresql:///db", "postgresql:///db"},
           {"postgresql://user@host:5432/db?sslmode=require", "postgresql://user@host:5432/db?sslmode=require"},
           {"postgresql://user:s3cret@host:5432/db", "postgresql://user:***@host:5432/db"},
           {"postgres://user:s3%40cret@host,other:5433/db", "postgres://user:***@host,other:5433/db"},
           {"postgresql://user:s3cret@/db", "postgresql://user:***@/db"},
           {"postgresql://:s3cret@host", "postgresql://:***@host"},
           {"postgresql://user:s3@cret@host/db", "postgresql://user:***@host/db"},
           {"postgresql://user:s3/cret@host/db", "postgresql://user:***@host/db"},
           {"postgresql://user:s3?cret@host/db", "postgresql://user:***@host/db"},
           {"postgresql://user:s3?c/ret@host/db", "postgresql://user:***@host/db"},
           {"postgresql://host/db?user=a@b&password=s3cret", "postgresql://host/db?user=a@b&password=***"},
           {"postgresql://user:s3cret@host/db?password=s3cret&sslmode=disable",
            "postgresql://user:***@host/db?password=***&sslmode=disable"},
           {"postgresql://host/db?%70assword=s3cret", "postgresql://host/db?%70assword=***"},
           {"postgresql://host/db?sslpassword=s3cret&PASSWORD=s3cret",
            "postgresql://host/db?sslpassword=***&PASSWORD=***"},
           {"postgresql://host/db?sslmode", "postgresql://host/db?sslmode"},
           {"postgresql://user:s3cret/bank", "postgresql://user:***"},
           {"postgresql://user:s3cret", "postgresql://user:***"},
           {"postgresql://user:s3/cret/bank?sslmode=disable", "postgresql://user:***"},
           {"postgresql://user:0123456789/bank", "postgresql://user:***"},
           {"postgresql://host,user:s3cret/bank", "postgresql://host,user:***"},
           {"postgresql://user@host:5432,other:s3cret/bank", "postgresql://user@host:5432,other:***"},
           {"postgresql://user:s3cret@[::1]:s3cret/bank", "postgresql://user:***@[::1]:***"},
           {"postgresql://host:5432,other:5433/db", "postgresql://host:5432,other:5433/db"},
           {"postgresql://host:,other,[::1]:5433/db?a:b", "postgresql://host:,other,[::1]:5433/db?a:b"},
           {"postgresql://[::1]", "postgresql://[::1]"},
           {"postgresql://user@[fe80::1]:5432", "postgresql://user@[fe80::1]:5432"},
           {"sqlite:///var/lib/bank:1.db", "sqlite:///var/lib/bank:1.db"},
           {"sqlite://user:s3cret", "sqlite://user:***"},
           {"sqlite:bank.db", "sqlite:bank.db"},
           {"sqlite::memory:", "sqlite::memory:"},
       })
    BOOST_TEST(redact_uri(uri) == shown);
}

BOOST_AUTO_TEST_CASE(a_password_is_hidden_wherever_a_message_repeats_it) {
  for (const std::string password : {"s3cret", "s3/cret", "s3@cret", "s3?cret", "s3:cret", "s3 cret", "s3&cret", "s3#c=ret"})
    for (const std::string& text : {"--store postgresql://u:" + password + "@db/bank", "--store=postgres://u:" + password + "@db",
                                    "u:" + password + "@", "u:" + password + "@db", "sqlite://u:" + password + "@db/bank",
                                    "The following argument was not expected: u:" + password + "@db",
                                    "host=db password='" + password + "' user=u", "host=db PassWord = '" + password + "'"}) {
      BOOST_TEST((redacted(text).find("s3") == std::string::npos), redacted(text));
      BOOST_TEST((redacted(text).find("ret") == std::string::npos), redacted(text));
    }
  // Without the '@' that ends it.
  for (const std::string password : {"s3cret", "s3/cret", "s3?cret", "s3:cret", "s3 cret", "s3&cret", "s3#c=ret", "5432cret", "543 cret"})
    for (const std::string& text : {"postgresql://u:" + password + "/bank", "--store=postgres://u:" + password, "sqlite://u:" + password,
                                    "--store postgresql://db:5432,[::1]:5433,u:" + password + "/bank?sslmode=disable"}) {
      BOOST_TEST((redacted(text).find(password.substr(0, 3)) == std::string::npos || password.starts_with("5")), redacted(text));
      BOOST_TEST((redacted(text).find("ret") == std::string::npos), redacted(text));
    }
  for (const std::string text : {"--store=postgresql://db:5432,[::1]:5433/bank", "postgresql://:5432", "postgres://u@db:/bank", "sqlite:///a:b"})
    BOOST_TEST(redacted(text) == text);
  BOOST_TEST(redact_uri("host=db password=s3cret user=u") == "host=db password=*** user=u");
  BOOST_TEST(redacted("--prot=4242") == "--prot=4242");
}

BOOST_AUTO_TEST_CASE(a_password_that_is_not_encoded_is_refused_before_libpq_takes_it_for_something_else) {
  for (const char* uri : {"postgresql://user:s3/cret@host/db", "postgresql://user:543/cret@host/db", "postgresql://user:s3@cret@host/db"}) {
    const auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(!opened);
    BOOST_TEST((opened.failure().code == errc::invalid_setting), uri);
    BOOST_TEST((opened.failure().message.find("cret") == std::string::npos), opened.failure().message);
    BOOST_TEST((opened.failure().message.find("%XX") != std::string::npos), opened.failure().message);
  }
  for (const char* uri : {"postgresql://user:s3cret/bank", "postgresql://user:s3cret", "postgresql://user:54321cret/bank", "postgres://host:5432,user:s3cret/bank",
                          "postgresql://user@host/bank?port=s3cret", "postgresql://user:1234567cret", "postgresql://user:70000"}) {
    const auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(!opened);
    BOOST_TEST((opened.failure().code == errc::invalid_setting), uri);
    for (const char* part : {"cret", "70000"}) BOOST_TEST((opened.failure().message.find(part) == std::string::npos), opened.failure().message);
    BOOST_TEST((opened.failure().message.find("port") != std::string::npos), opened.failure().message);
  }
  for (const char* uri : {"postgresql://user@host:5432,other:/bank", "postgresql://[::1]:5432,host/bank", "postgresql:///bank?port=1,65535"})
    BOOST_TEST(open_database(uri).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_no_store_is_refused_without_showing_what_it_may_hide) {
  for (const char* uri : {"", "bank.db", "mysql://user:s3cret@host/db", "postgresql:db", "host=x password=s3cret",
                          "user:s3cret@host", "://s3cret", "SQLITE:bank.db"}) {
    const auto opened = open_database(uri);
    BOOST_TEST_REQUIRE(!opened);
    BOOST_TEST((opened.failure().code == errc::invalid_setting), uri);
    BOOST_TEST((opened.failure().message.find("s3cret") == std::string::npos));
    BOOST_TEST((opened.failure().message.find("sqlite:FILE") != std::string::npos));
  }
}

BOOST_AUTO_TEST_SUITE_END()
