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

void put(std::string& to, std::size_t at, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) to[at++] = static_cast<char>(number >> shift);
}

void append(std::string& to, std::uint32_t number) {
  to.resize(to.size() + 4);
  put(to, to.size() - 4, number);
}

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
  constexpr char version = 1;
  count();
  append(bytes_, static_cast<std::uint32_t>(text.size() + 1));
  bytes_.push_back(version);
  bytes_.append(text);
}

void binary_array::add_null() {
  count();
  put(bytes_, 4, 1);
  append(bytes_, 0xFFFFFFFF);
}

insert_parameters::insert_parameters(std::span<const write_unit> units)
    : arrays_{binary_array(bytea_type), binary_array(bytea_type), binary_array(integer_type), binary_array(text_type),
              binary_array(jsonb_type), binary_array(text_type),  binary_array(bytea_type),   binary_array(jsonb_type),
              binary_array(bytea_type), binary_array(integer_type), binary_array(bytea_type)} {
  auto& [timestamps, ids, sequences, types, bodies, aggregate_types, commands, metadata, predecessor_ids,
         predecessor_sequences, predecessors] = arrays_;
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
      ++rows_;
    }
  }
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    values_[i] = arrays_[i].bytes().data();
    lengths_[i] = static_cast<int>(arrays_[i].bytes().size());
    formats_[i] = 1;
  }
}

}  // namespace maestro::postgres
