#include "scratch_file.hpp"

#include <maestro/runtime/config_file.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace maestro;

namespace {

auto entries(std::string_view text) -> std::vector<config_entry> {
  auto read = read_config(text, "test.conf");
  BOOST_TEST_REQUIRE(read.has_value(), (read ? "" : read.failure().message));
  return *read;
}

auto problem(std::string_view text) -> std::string {
  auto read = read_config(text, "test.conf");
  BOOST_TEST_REQUIRE(!read.has_value(), "accepted: " << text);
  BOOST_TEST((read.failure().code == errc::invalid_setting));
  return read.failure().message;
}

using list = std::vector<config_entry>;

}  // namespace

BOOST_AUTO_TEST_SUITE(config_file)

BOOST_AUTO_TEST_CASE(groups_sections_and_dotted_keys_are_one_and_the_same) {
  const list expected{{"maestro.store.uri", config_kind::text, "sqlite:a.db", 0}};
  for (const char* text :
       {"maestro {\n  store {\n    uri = \"sqlite:a.db\"\n  }\n}\n", "maestro.store.uri = \"sqlite:a.db\"",
        "[maestro]\nstore { uri = \"sqlite:a.db\" }\n", "[maestro.store]\nuri=\"sqlite:a.db\"",
        "maestro={store={uri=\"sqlite:a.db\",},}\r\n", "maestro { store.uri = 'sqlite:a.db' }"}) {
    auto read = entries(text);
    BOOST_TEST_REQUIRE(read.size() == 1U);
    read.front().line = 0;
    BOOST_TEST((read == expected), text);
  }
}

BOOST_AUTO_TEST_CASE(each_value_keeps_its_line_and_how_it_was_written) {
  const auto read = entries(
      "# a comment\nname = \"a \\\"b\\\" \\\\ \\n;#\" ; another\n\ngroup {\n  size = 5, wait=5min # x\n  on = true\n"
      "  list = [1, [\"]\"], 3]\n  nothing {\n  }\n}\n");
  const list expected{{"name", config_kind::text, "a \"b\" \\ \n;#", 2},
                      {"group.size", config_kind::word, "5", 5},
                      {"group.wait", config_kind::word, "5min", 5},
                      {"group.on", config_kind::word, "true", 6},
                      {"group.list", config_kind::list, "[1, [\"]\"], 3]", 7},
                      {"group.nothing", config_kind::group, "", 8}};
  BOOST_TEST((read == expected));
}

BOOST_AUTO_TEST_CASE(a_byte_order_mark_before_the_text_is_skipped) {
  BOOST_TEST((entries("\xef\xbb\xbfmaestro.node.port = 1\n") == entries("maestro.node.port = 1\n")));
  BOOST_TEST(entries("\xef\xbb\xbf").empty());
  BOOST_TEST(problem("a = 1\n\xef\xbb\xbf").starts_with("test.conf:2: "));
}

BOOST_AUTO_TEST_CASE(an_empty_file_sets_nothing) {
  for (const char* text : {"", "\n", "# nothing", " ; nothing\n"}) BOOST_TEST(entries(text).empty());
}

BOOST_AUTO_TEST_CASE(a_group_may_be_written_twice_and_a_key_may_not) {
  BOOST_TEST(entries("a { b = 1 }\na { c = 2 }\n").size() == 2U);
  BOOST_TEST(problem("a { b = 1 }\n\na { b = 2 }\n") == "test.conf:3: a.b is set twice, first on line 1");
}

BOOST_AUTO_TEST_CASE(a_broken_file_is_refused_with_its_line) {
  BOOST_TEST(problem("a {\n b = 1\n") == "test.conf:3: the group \"a\", opened on line 1, has no }");
  BOOST_TEST(problem("a = 1\n}\n") == "test.conf:2: a } without its {");
  BOOST_TEST(problem("\na = \"x\nb = 1\n") == "test.conf:2: a closing quote is missing");
  BOOST_TEST(problem("a = \"x\\q\"") == "test.conf:1: a \\ in quotes must be followed by n, t, r, \\ or a quote");
  BOOST_TEST(problem("a =\n1\n") == "test.conf:1: a has no value");
  BOOST_TEST(problem("a\n") == "test.conf:1: a = or a { is missing after a");
  BOOST_TEST(problem("a = 1 b = 2\n") ==
             "test.conf:1: only one entry may stand on a line, unless commas separate them");
  BOOST_TEST(problem("a { b = 1 } c\n") ==
             "test.conf:1: only one entry may stand on a line, unless commas separate them");
  BOOST_TEST(problem("a = [1, 2\n\n") == "test.conf:3: the list opened on line 1 has no ]");
  BOOST_TEST(problem("= 1\n") == "test.conf:1: a key is expected here, made of letters, digits, - and _");
  BOOST_TEST(problem("a..b = 1\n") == "test.conf:1: the key a..b has a dot too many");
  BOOST_TEST(problem("[a\nb = 1\n") == "test.conf:1: a ] is missing after [a");
}

BOOST_AUTO_TEST_CASE(no_input_ends_the_process) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "a{";
  BOOST_TEST(problem(deep) == "test.conf:1: groups are nested too deep");
  BOOST_TEST(problem("a = " + std::string(100'000, '[')) == "test.conf:1: lists are nested too deep");
  const std::string whole = "a { b = \"x\\n\", c = [1,'y'] # z\n} [s]\nd=5ms\n";
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char c : {'\0', '"', '{', '}', '[', ']', '\\', '#', '\xff'}) {
      auto text = whole;
      text[i] = c;
      static_cast<void>(read_config(text, "test.conf"));
      static_cast<void>(read_config(std::string_view(text).substr(0, i + 1), "test.conf"));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_read_is_named) {
  const scratch_file file("a = 1");
  BOOST_TEST(read_config_file(file.path()).has_value());
  const auto missing = read_config_file(file.path() + ".not");
  BOOST_TEST_REQUIRE(!missing.has_value());
  BOOST_TEST((missing.failure().code == errc::invalid_argument));
  BOOST_TEST(missing.failure().message ==
             "the configuration file " + file.path() + ".not cannot be read: No such file or directory");
  const auto folder = read_config_file(file.folder());
  BOOST_TEST_REQUIRE(!folder.has_value());
  BOOST_TEST(folder.failure().message == "the configuration file " + file.folder() + " cannot be read: Is a directory");
  const scratch_file large(std::string(1024 * 1024 + 1, '#'));
  BOOST_TEST(!read_config_file(large.path()).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
