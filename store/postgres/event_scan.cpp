#include <maestro/store/postgres/event_scan.hpp>

#include <maestro/store/postgres/values.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace maestro::postgres {

namespace {

auto bytes_of(const PGresult* rows, int row, int column) -> std::string_view {
  return {PQgetvalue(rows, row, column), static_cast<std::size_t>(PQgetlength(rows, row, column))};
}

auto number_of(std::string_view bytes) -> std::int32_t {
  std::uint32_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int32_t>(number);
}

// jsonb in binary form is its text behind the number of a version.
auto json_of(std::string_view bytes) -> std::string { return bytes.empty() ? std::string() : json_from_jsonb(bytes.substr(1)); }

template <class Number>
auto big_endian(Number number) -> std::array<char, sizeof(Number)> {
  std::array<char, sizeof(Number)> bytes{};
  for (std::size_t i = bytes.size(); i > 0; number >>= 8) bytes[--i] = static_cast<char>(number & 0xFF);
  return bytes;
}

// The columns of sql::scan_events.
enum column : int { timestamp_column, sequence_column, type_column, body_column, aggregate_type_column, command_column, metadata_column };

auto bytes_in(const PGresult* rows) -> std::size_t {
  std::size_t bytes = 0;
  for (int row = 0; row < PQntuples(rows); ++row)
    bytes += static_cast<std::size_t>(PQgetlength(rows, row, body_column) + PQgetlength(rows, row, metadata_column));
  return bytes;
}

}  // namespace

event_scan::event_scan(connection& with, const aggregate_id& id, event_range& range)
    : with_(with), id_(id), range_(range), pages_(range.limit) {
  statement_ = with_.prepare(sql::scan_events);
  is_complete_ = range_.after >= range_.up_to;
}

event_scan::~event_scan() {
  if (is_asked_) (void)answer();
}

auto event_scan::next_page() -> std::span<event> {
  if (is_complete_) return {};
  const bool was_ahead = is_asked_;
  auto rows = was_ahead ? answer() : ask_now();
  // What was asked for ahead has perhaps waited for us longer than a statement may take.
  if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK && was_ahead && PQstatus(with_.raw()) == CONNECTION_OK) rows = ask_now();
  if (PQresultStatus(rows.get()) != PGRES_TUPLES_OK) throw failure_from(with_.raw(), rows.get());
  const int count = PQntuples(rows.get());
  if (count > 0) range_.after = number_of(bytes_of(rows.get(), count - 1, sequence_column));
  is_complete_ = static_cast<std::size_t>(count) < pages_.next() || range_.after >= range_.up_to;
  pages_.saw(static_cast<std::size_t>(count), bytes_in(rows.get()));
  if (!is_complete_) (void)ask();  // Should that fail, the next page will tell; this one is to be handed out.
  read(rows.get());
  return page_;
}

auto event_scan::ask() -> bool {
  const auto after = big_endian(static_cast<std::uint32_t>(range_.after));
  const auto up_to = big_endian(static_cast<std::uint32_t>(range_.up_to));
  const auto limit = big_endian(static_cast<std::uint64_t>(as_limit(pages_.next())));
  const char* const values[] = {id_.view().data(), after.data(), up_to.data(), limit.data()};
  const int lengths[] = {static_cast<int>(id_.view().size()), after.size(), up_to.size(), limit.size()};
  constexpr int binary[] = {1, 1, 1, 1};
  is_asked_ = PQsendQueryPrepared(with_.raw(), statement_, 4, values, lengths, binary, 1) == 1;
  return is_asked_;
}

auto event_scan::ask_now() -> std::unique_ptr<PGresult, decltype(&PQclear)> {
  if (!ask()) throw failure_from(with_.raw(), nullptr);
  return answer();
}

auto event_scan::answer() -> std::unique_ptr<PGresult, decltype(&PQclear)> {
  is_asked_ = false;
  std::unique_ptr<PGresult, decltype(&PQclear)> first(PQgetResult(with_.raw()), PQclear);
  while (PGresult* const more = PQgetResult(with_.raw())) PQclear(more);
  return first;
}

// Into the events of the page before, whose memory is used again.
void event_scan::read(const PGresult* rows) {
  page_.resize(static_cast<std::size_t>(PQntuples(rows)));
  int row = 0;
  for (auto& event : page_) {
    event.timestamp = timestamp::from_bytes(bytes_of(rows, row, timestamp_column)).value_or(timestamp{});
    event.aggregate_id = id_;
    event.sequence = number_of(bytes_of(rows, row, sequence_column));
    event.type = bytes_of(rows, row, type_column);
    event.body = json_of(bytes_of(rows, row, body_column));
    event.aggregate_type = bytes_of(rows, row, aggregate_type_column);
    event.command_id = command_id::from_bytes(bytes_of(rows, row, command_column));
    event.metadata = json_of(bytes_of(rows, row, metadata_column));
    event.value.reset();
    ++row;
  }
}

}  // namespace maestro::postgres
