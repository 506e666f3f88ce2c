// An aggregate's events page by page, in binary form: while one page is worked on, the server reads the next.
#pragma once

#include <maestro/store/page_sizer.hpp>
#include <maestro/store/postgres/connection.hpp>
#include <maestro/store/store.hpp>

#include <memory>
#include <span>
#include <vector>

namespace maestro::postgres {

/// One scan, during which nothing else uses the connection.
class event_scan {
 public:
  /// `range.after` moves on with each page that is handed out; whoever scans `range` again after a loss gets
  /// what is left. `with` and `range` outlive the scan. Throws `failure`.
  event_scan(connection& with, const aggregate_id& id, event_range& range);
  /// Reads what was asked for and is not wanted any more.
  ~event_scan();
  event_scan(const event_scan&) = delete;
  auto operator=(const event_scan&) -> event_scan& = delete;

  /// The next events, which may be moved from, until the next call; none at the end. Throws `failure`.
  auto next_page() -> std::span<event>;

 private:
  // Sends the statement for the page after `range_.after`. False when it cannot be sent.
  [[nodiscard]] auto ask() -> bool;
  [[nodiscard]] auto ask_now() -> std::unique_ptr<PGresult, decltype(&PQclear)>;
  [[nodiscard]] auto answer() -> std::unique_ptr<PGresult, decltype(&PQclear)>;
  void read(const PGresult* rows);

  connection& with_;
  const aggregate_id id_;
  event_range& range_;
  page_sizer pages_;
  const char* statement_ = nullptr;  // Its name on this connection.
  bool is_asked_ = false;  // The answer to a statement is still to be read.
  bool is_complete_ = false;
  std::vector<event> page_;
};

}  // namespace maestro::postgres
