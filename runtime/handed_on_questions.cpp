#include <maestro/runtime/handed_on_questions.hpp>

#include <algorithm>

namespace maestro {

auto handed_on_questions::note(const caf::actor& sender, std::uint64_t request) -> withdrawn_flag {
  if (flags_.size() >= cleared_at_) {
    std::erase_if(flags_, [](const auto& each) { return each.second.expired(); });
    cleared_at_ = std::max(least_kept, 2 * flags_.size());
  }
  auto flag = std::make_shared<std::atomic<bool>>(false);
  flags_.insert_or_assign(key{key_of(sender), request}, flag);
  return flag;
}

void handed_on_questions::withdraw(const caf::actor& sender, std::span<const std::uint64_t> requests) {
  for (const auto request : requests) {
    const auto found = flags_.find({key_of(sender), request});
    if (found == flags_.end()) continue;
    if (const auto flag = found->second.lock()) *flag = true;
    flags_.erase(found);
  }
}

}  // namespace maestro
