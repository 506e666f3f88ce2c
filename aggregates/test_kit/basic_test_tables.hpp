// Tests of projections for any test framework: events are committed to a store in memory, and rows are read back. With
// Boost.Test, include <maestro/aggregates/test_kit.hpp> instead.
#pragma once

#include <maestro/aggregates/test_kit/basic_test_kit.hpp>
#include <maestro/aggregates/test_kit/tables.hpp>

#include <concepts>
#include <initializer_list>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maestro {

/// Names an aggregate in a test: by its name, or by its typed id where aggregates of several types take part. Made in
/// the call that takes it, it also knows the caller's line.
template <class Aggregate>
struct test_place {
  maestro::aggregate_id id;
  std::string name;
  std::source_location where;

  template <std::convertible_to<std::string_view> Name>
  test_place(const Name& called, std::source_location at = std::source_location::current())
      : id(Aggregate::id::named(called)), name(called), where(at) {}
  test_place(const typename Aggregate::id& of, std::source_location at = std::source_location::current())
      : id(of), name(of.text()), where(at) {}
};

/// The rows of a query.
template <class Report>
class [[nodiscard]] test_rows {
 public:
  test_rows(const detail::kit_tables& tables, std::string sql, result<std::vector<sql_row>> found)
      : tables_(&tables), sql_(std::move(sql)), found_(std::move(found)) {}

  /// These rows and no others, in this order: `.then({{"Alice", 500}, {"Bob", 0}})`, `.then({})` for none. An id is
  /// given by its `value`, a boolean is compared as 0 or 1.
  void then(const std::vector<sql_row>& expected, std::source_location where = std::source_location::current()) const {
    detail::report_check<Report>(tables_->check_rows(sql_, found_, expected), where);
  }

 private:
  const detail::kit_tables* tables_;
  std::string sql_;
  result<std::vector<sql_row>> found_;
};

/// What became of a command's events. Each check reports at the line of its `when`.
template <class Report>
class [[nodiscard]] test_commit {
 public:
  test_commit(const detail::kit_tables& tables, detail::commit_attempt attempt, const std::source_location& where)
      : tables_(&tables), attempt_(std::move(attempt)), where_(where) {}

  /// The events are in the log, and their rows in the tables.
  void committed() const { detail::report_check<Report>(tables_->check_committed(attempt_), where_); }
  /// The commit was answered `projection_failed`, by an error whose text names `constraint`; SQLite names the columns:
  /// `handles.handle`.
  void refused_by(std::string_view constraint) const {
    detail::report_check<Report>(tables_->check_refused(attempt_, constraint), where_);
  }

 private:
  const detail::kit_tables* tables_;
  detail::commit_attempt attempt_;
  std::source_location where_;
};

namespace detail {

/// The calls that take an aggregate of type `Aggregate`, for each of a `basic_test_tables`.
template <class Derived, class Aggregate, class Report>
class tables_of {
 public:
  /// Commits the events to the aggregate, in one transaction with what its projections make of them. A history that is
  /// refused fails the test here.
  template <class... History>
  auto given(const test_place<Aggregate>& place, const History&... history) -> Derived& {
    static_assert((is_history<History, Aggregate> && ...),
                  "maestro: `given` takes the aggregate's listed events, their former forms, or maestro::stored_event");
    auto& self = static_cast<Derived&>(*this);
    self.given_events({kit_subject_of<Aggregate>(), place.id, place.name}, collect_events<Aggregate>(history...), place.where);
    return self;
  }

  /// Evaluates the command on what was committed, and commits its events in the same way.
  template <class Command>
  [[nodiscard]] auto when(const test_place<Aggregate>& place, const Command& command) -> test_commit<Report> {
    static_assert(is_listed<Command, typename Aggregate::commands>,
                  "maestro: `when` takes one of the aggregate's listed commands");
    auto& tables = static_cast<Derived&>(*this).tables_;
    return test_commit<Report>(
        tables,
        tables.when({kit_subject_of<Aggregate>(), place.id, place.name}, registered_name<Command>(), encode(command)),
        place.where);
  }
};

}  // namespace detail

/// A store in memory (SQLite) with the tables of the projections of `Aggregates`. Commits run as in a node, with two
/// differences: nobody else writes, and events carry no metadata. After something went wrong with what is given, every
/// check fails and says it.
template <test_report Report, class... Aggregates>
class basic_test_tables : public detail::tables_of<basic_test_tables<Report, Aggregates...>, Aggregates, Report>... {
  static_assert(sizeof...(Aggregates) > 0);

 public:
  basic_test_tables() : tables_({detail::kit_subject_of<Aggregates>()...}) {}
  basic_test_tables(const basic_test_tables&) = delete;
  auto operator=(const basic_test_tables&) -> basic_test_tables& = delete;

  using detail::tables_of<basic_test_tables, Aggregates, Report>::given...;
  using detail::tables_of<basic_test_tables, Aggregates, Report>::when...;

  /// Runs `sql` on the store, outside any commit, with `$1`, `$2` ... for parameters. Without an `order by`, rows come
  /// in any order.
  template <class... Parameters>
    requires(std::constructible_from<sql_value, const Parameters&> && ...)
  auto query(std::string_view sql, const Parameters&... parameters) -> test_rows<Report> {
    const std::initializer_list<sql_value> list{sql_value(parameters)...};
    return {tables_, std::string(sql), tables_.query(sql, {list.begin(), list.size()})};
  }

  /// Fills every projection anew from the log, as `maestro rebuild` does, and fails when a table has other rows than
  /// before: when `project` depends on more than its events.
  void survive_a_rebuild(std::source_location where = std::source_location::current()) {
    detail::report_check<Report>(tables_.check_rebuild(), where);
  }

 private:
  template <class, class, class>
  friend class detail::tables_of;

  void given_events(const detail::kit_place& place, const detail::emitted_list& history,
                    const std::source_location& where) {
    if (auto problem = tables_.given(place, history); !problem.empty()) Report::failed(problem, where);
  }

  detail::kit_tables tables_;
};

}  // namespace maestro
