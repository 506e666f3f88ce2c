// How many events to read next, so that they fit into memory.
#pragma once

#include <algorithm>
#include <cstddef>

namespace maestro {

/// The sizes of pages that are read one after the other. The first is small, and each further one has as many events as
/// take about `page_bytes` by the size of those before it, at most four times as many as the one before. Where the events
/// of one page are much larger than those of the page before it, it takes that much more.
class page_sizer {
 public:
  static constexpr std::size_t first_events = 32;
  static constexpr std::size_t page_bytes = 8 * 1024 * 1024;  ///< Of bodies and metadata.

  /// No page has more than `max_events`.
  explicit page_sizer(std::size_t max_events) noexcept
      : max_events_(max_events), next_(std::min(max_events, first_events)) {}

  /// How many events the next page may have.
  [[nodiscard]] auto next() const noexcept -> std::size_t { return next_; }
  /// The page that was read last has so many events, which take so many bytes.
  void saw(std::size_t events, std::size_t bytes) noexcept {
    const auto of_each = std::max<std::size_t>(bytes / std::max<std::size_t>(events, 1), 1);
    next_ = std::min({max_events_, 4 * next_, std::max<std::size_t>(page_bytes / of_each, 1)});
  }
  /// The same, of a range of events.
  template <class Events>
  void saw(const Events& page) {
    std::size_t bytes = 0;
    for (const auto& row : page) bytes += row.body.size() + row.metadata.size();
    saw(page.size(), bytes);
  }

 private:
  std::size_t max_events_;
  std::size_t next_;
};

}  // namespace maestro
