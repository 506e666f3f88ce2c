// The domain of the packages example. Every command names the package, and must be sent to the aggregate of that name.
#include <package.hpp>

#include <maestro/aggregates/test_kit.hpp>

#include <boost/test/unit_test.hpp>

#include <string>

using namespace packages;
using kit = maestro::test_kit<package>;

namespace {

const std::string bash = "bash:amd64";
const installed first{bash, "5.1"};

}  // namespace

BOOST_AUTO_TEST_SUITE(package_domain)

BOOST_AUTO_TEST_CASE(a_package_is_installed_upgraded_removed_and_purged) {
  kit::given().named(bash)
      .when(install{bash, "5.1"}).then(first).then_state({"5.1", "installed"})
      .when(upgrade{bash, "5.1", "5.2"}).then(upgraded{bash, "5.1", "5.2"}).then_state({"5.2", "installed"})
      .when(packages::remove{bash, "5.2"}).then(removed{bash}).then_state({"5.2", "removed"})
      .when(purge{bash, "5.2"}).then(purged{bash}).then_state({"", "purged"})
      .when(install{bash, "5.3"}).then(installed{bash, "5.3"});
}

BOOST_AUTO_TEST_CASE(a_command_for_another_package_is_rejected) {
  kit::given().named("zsh:amd64").when(install{bash, "5.1"})
      .rejected("this aggregate is not the package \"bash:amd64\"");
}

BOOST_AUTO_TEST_CASE(the_log_may_begin_after_the_package_came) {
  kit::given().named(bash).when(upgrade{bash, "5.0", "5.1"}).then(upgraded{bash, "5.0", "5.1"});
  kit::given().named(bash).when(packages::remove{bash, "5.0"}).then(removed{bash});
}

BOOST_AUTO_TEST_CASE(what_is_gone_is_neither_upgraded_nor_removed) {
  for (const auto& gone : {kit::given(first, removed{bash}), kit::given_state({"5.1", "removed"}, 2)}) {
    const auto scenario = gone.named(bash);
    scenario.when(upgrade{bash, "5.1", "5.2"}).rejected("the package is not installed: it was removed");
    scenario.when(packages::remove{bash, "5.1"}).rejected("the package is not installed: it was removed");
    scenario.when(purge{bash, "5.1"}).then(purged{bash});
  }
  kit::given(first, purged{bash}).named(bash).when(purge{bash, "5.1"}).rejected("nothing is left to purge");
}

BOOST_AUTO_TEST_CASE(a_version_is_needed) {
  kit::given().named(bash).when(install{bash, ""}).rejected("an installation needs a version");
  kit::given(first).named(bash).when(upgrade{bash, "5.1", ""}).rejected("an upgrade needs a version");
}

BOOST_AUTO_TEST_CASE(every_event_survives_the_codec) {
  kit::examples(first, upgraded{bash, "5.1", "5.2"}, removed{bash}, purged{bash}).survive_the_codec();
}

BOOST_AUTO_TEST_CASE(the_projection_holds_what_is_installed) {
  maestro::test_tables<package> tables;
  tables.given(bash, first, upgraded{bash, "5.1", "5.2"})
      .given("vim:amd64", installed{"vim:amd64", "9.0"}, removed{"vim:amd64"})
      .given("nano:amd64", installed{"nano:amd64", "7.2"}, purged{"nano:amd64"}, installed{"nano:amd64", "8.0"});
  tables.query("select name, version from installed_packages order by name")
      .then({{bash, "5.2"}, {"nano:amd64", "8.0"}});
  tables.when(bash, packages::remove{bash, "5.2"}).committed();
  tables.query("select name from installed_packages").then({{"nano:amd64"}});
  tables.survive_a_rebuild();
}

BOOST_AUTO_TEST_SUITE_END()
