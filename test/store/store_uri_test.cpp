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
