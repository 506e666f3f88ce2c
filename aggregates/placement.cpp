#include <maestro/aggregates/placement.hpp>

#include <utility>

namespace maestro {

namespace {

// FNV-1a, 64 bits (draft-eastlake-fnv).
auto fnv(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325ULL) noexcept -> std::uint64_t {
  for (const char character : text) {
    hash ^= static_cast<std::uint8_t>(character);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

// The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): FNV alone leaves
// texts that differ in their last byte close together.
auto mix(std::uint64_t value) noexcept -> std::uint64_t {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

auto hash_of(std::string_view member) noexcept -> std::uint64_t { return mix(fnv(member)); }

// The index of the highest weight; where two are the same, that of the lower name.
template <class Hash, class Name>
auto highest(std::size_t count, std::uint64_t key, Hash hash, Name name) noexcept -> std::size_t {
  std::size_t best = 0;
  std::uint64_t best_weight = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto weight = mix(key ^ hash(i));
    if (i > 0 && (weight < best_weight || (weight == best_weight && name(best) < name(i)))) continue;
    best = i;
    best_weight = weight;
  }
  return best;
}

}  // namespace

auto placement_key(std::string_view aggregate_type, const aggregate_id& id) -> std::uint64_t {
  return mix(fnv(id.view(), fnv(aggregate_type)));
}

auto placement_key(std::string_view text) -> std::uint64_t { return mix(fnv(text)); }

placement::placement(std::vector<std::string> names) : names_(std::move(names)) {
  hashes_.reserve(names_.size());
  for (const auto& name : names_) hashes_.push_back(hash_of(name));
}

auto placement::owner(std::uint64_t key) const noexcept -> std::size_t {
  return highest(names_.size(), key, [this](std::size_t i) { return hashes_[i]; },
                 [this](std::size_t i) -> const std::string& { return names_[i]; });
}

auto rendezvous(std::uint64_t key, std::span<const std::string> members) noexcept -> std::size_t {
  return highest(members.size(), key, [&](std::size_t i) { return hash_of(members[i]); },
                 [&](std::size_t i) -> const std::string& { return members[i]; });
}

}  // namespace maestro
