// When to pay for savepoints: projections that fail come in swarms (a client that retries, a rule that many break).
#pragma once

namespace maestro {

/// Remembers, for an adapter, that projections have been failing. A batch is written without savepoints first: that is the
/// cheapest way, and one failure costs one repetition. For some batches after a failure savepoints are cheaper.
class careful_mode {
 public:
  /// Whether the batch that begins now should be written with savepoints.
  [[nodiscard]] auto begin_batch() noexcept -> bool { return batches_ > 0 && batches_-- > 0; }
  /// A projection failed in this batch.
  void saw_failure() noexcept { batches_ = length; }

  static constexpr int length = 16;  ///< In batches.

 private:
  int batches_ = 0;
};

}  // namespace maestro
