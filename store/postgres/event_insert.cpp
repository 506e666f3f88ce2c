#include <maestro/store/postgres/event_insert.hpp>

#include <algorithm>
#include <utility>

namespace maestro::postgres {

namespace {

// Oids of the built-in types, which never change.
constexpr std::uint32_t bytea_type = 17;
constexpr std::uint32_t integer_type = 23;
constexpr std::uint32_t text_type = 25;
constexpr std::uint32_t jsonb_type = 3802;

// The binary form of jsonb is its text behind the number of that form.
constexpr char jsonb_version = 1;

void put(std::string& to, std::size_t at, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) to[at++] = static_cast<char>(number >> shift);
}

void append(std::string& to, std::uint32_t number) {
  to.resize(to.size() + 4);
  put(to, to.size() - 4, number);
}

auto as_jsonb(std::string_view text) -> std::string { return jsonb_version + std::string(text); }

void add_or_null(binary_array& array, std::string_view text) {
  if (text.empty()) array.add_null();
  else array.add(text);
}

}  // namespace

// The head: dimensions, whether there are nulls, type; and for the dimension its size and lower bound. No dimension while empty.
binary_array::binary_array(std::uint32_t element_type) {
  append(bytes_, 0);
  append(bytes_, 0);
  append(bytes_, element_type);
}

void binary_array::count() {
  if (size_++ == 0) {
    put(bytes_, 0, 1);
    append(bytes_, 0);
    append(bytes_, 1);
  }
  put(bytes_, 12, size_);
}

void binary_array::add(std::string_view bytes) {
  count();
  append(bytes_, static_cast<std::uint32_t>(bytes.size()));
  bytes_.append(bytes);
}

void binary_array::add(std::int32_t number) {
  count();
  append(bytes_, 4);
  append(bytes_, static_cast<std::uint32_t>(number));
}

void binary_array::add_json(std::string_view text) {
  count();
  append(bytes_, static_cast<std::uint32_t>(text.size() + 1));
  bytes_.push_back(jsonb_version);
  bytes_.append(text);
}

void binary_array::add_null() {
  count();
  put(bytes_, 4, 1);
  append(bytes_, 0xFFFFFFFF);
}

event_insert::event_insert(std::span<const write_unit> units) {
  for (const auto& unit : units) rows_ += unit.unit->events.size();
  if (rows_ == 1) write_one(units.front());
  else write_many(units);
}

void event_insert::write_one(const write_unit& unit) {
  const event& event = unit.unit->events.front();
  statement_ = event.sequence == 1 ? &sql::insert_first_event : &sql::insert_event;
  add(std::string(event.timestamp.view()));
  add(std::string(event.aggregate_id.view()));
  std::string sequence;
  append(sequence, static_cast<std::uint32_t>(event.sequence));
  add(std::move(sequence));
  add(event.type);
  add(as_jsonb(event.body));
  if (event.aggregate_type.empty()) add_null();
  else add(event.aggregate_type);
  if (event.command_id) add(std::string(event.command_id->view()));
  else add_null();
  if (event.metadata.empty()) add_null();
  else add(as_jsonb(event.metadata));
  if (event.sequence > 1) add(std::string(unit.predecessor.view()));
}

void event_insert::write_many(std::span<const write_unit> units) {
  statement_ = &sql::insert_events;
  std::array<binary_array, most_parameters> arrays{
      binary_array(bytea_type), binary_array(bytea_type), binary_array(integer_type), binary_array(text_type),
      binary_array(jsonb_type), binary_array(text_type),  binary_array(bytea_type),   binary_array(jsonb_type),
      binary_array(bytea_type), binary_array(integer_type), binary_array(bytea_type)};
  auto& [timestamps, ids, sequences, types, bodies, aggregate_types, commands, metadata, predecessor_ids,
         predecessor_sequences, predecessors] = arrays;
  const commit_request* previous = nullptr;
  for (const auto& unit : units) {
    const sequence_number before = unit.unit->events.front().sequence - 1;
    if (std::exchange(previous, unit.request) != unit.request && before > 0) {
      predecessor_ids.add(unit.request->aggregate_id.view());
      predecessor_sequences.add(before);
      predecessors.add(unit.predecessor.view());
    }
    for (const auto& event : unit.unit->events) {
      timestamps.add(event.timestamp.view());
      ids.add(event.aggregate_id.view());
      sequences.add(event.sequence);
      types.add(event.type);
      bodies.add_json(event.body);
      add_or_null(aggregate_types, event.aggregate_type);
      if (event.command_id) commands.add(event.command_id->view());
      else commands.add_null();
      if (event.metadata.empty()) metadata.add_null();
      else metadata.add_json(event.metadata);
    }
  }
  for (auto& array : arrays) add(array.take());
}

void event_insert::add(std::string bytes) {
  const auto at = static_cast<std::size_t>(count_);
  bytes_[at] = std::move(bytes);
  values_[at] = bytes_[at].data();
  lengths_[at] = static_cast<int>(bytes_[at].size());
  formats_[at] = 1;
  ++count_;
}

void event_insert::add_null() { ++count_; }

}  // namespace maestro::postgres
