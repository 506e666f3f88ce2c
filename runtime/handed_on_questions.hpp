// The questions that other nodes have handed on to this one, by which these can withdraw them.
#pragma once

#include <maestro/runtime/caller.hpp>

#include <caf/actor.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>

namespace maestro {

/// Part of a registry. Holds at most twice as many entries as there are such questions, or `least_kept`.
class handed_on_questions {
 public:
  /// Notes question number `request` of `sender` for as long as the flag is held. It takes the place of an earlier one
  /// with the same number.
  [[nodiscard]] auto note(const caf::actor& sender, std::uint64_t request) -> withdrawn_flag;
  /// Sets the flags of these questions of `sender`. Numbers that are not known mean nothing.
  void withdraw(const caf::actor& sender, std::span<const std::uint64_t> requests);
  /// How many entries it holds.
  [[nodiscard]] auto size() const -> std::size_t { return flags_.size(); }

 private:
  struct key {
    /// Not dereferenced. When another actor has the same address, this one has ended, and its questions are not wanted.
    const void* sender;
    std::uint64_t request;
    friend auto operator==(const key&, const key&) -> bool = default;
  };
  struct hash {
    auto operator()(const key& of) const -> std::size_t {
      return std::hash<const void*>{}(of.sender) ^ std::hash<std::uint64_t>{}(of.request * 0x9e37'79b9'7f4a'7c15U);
    }
  };
  static constexpr std::size_t least_kept = 1'024;

  std::unordered_map<key, std::weak_ptr<std::atomic<bool>>, hash> flags_;
  std::size_t cleared_at_ = least_kept;  ///< With so many entries those of questions that are over go.
};

}  // namespace maestro
