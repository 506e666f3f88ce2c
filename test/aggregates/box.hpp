// An aggregate with one command for each thing that the test kit has to notice.
#pragma once

#include <maestro/aggregates/aggregate.hpp>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

struct label {
  std::string text;
  std::vector<std::string> colours;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(text), CEREAL_NVP(colours));
  }
};

// --- commands ---

struct put {
  std::int64_t count = 0;
  std::string owner = "nobody";
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count), CEREAL_NVP(owner));
  }
};
struct weigh {
  double grams = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(grams));
  }
};
struct stick {
  label what;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(what));
  }
};
struct look_inside {};
struct describe_context {};
struct toss {};     ///< Answers differently each time.
struct waver {};    ///< Is refused every second time.
struct explode {};  ///< Throws in eval.
struct crush {};    ///< Its event throws in apply.
struct forget {};   ///< Its event leaves a member out.
struct garble {};   ///< Its event reads another member than it writes.
/// Is refused for good.
struct burn {
  std::string reason;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(reason));
  }
};

// --- events ---

struct has_been_put {
  std::int64_t count = 0;
  std::string owner = "nobody";
  static constexpr std::string_view registered_name = "put in";
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count), CEREAL_NVP(owner));
  }
};
struct weighed {
  double grams = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(grams));
  }
};
struct stuck {
  label what;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(what));
  }
};
struct looked {
  std::string aggregate_id;
  std::string command_id;
  std::string metadata;
  std::int64_t sequence = 0;
  std::int64_t seconds = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(aggregate_id), CEREAL_NVP(command_id), CEREAL_NVP(metadata), CEREAL_NVP(sequence),
            CEREAL_NVP(seconds));
  }
};
struct crushed {};
struct forgotten {
  std::int64_t kept = 0;
  std::int64_t left_out = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(kept));
  }
  friend auto operator==(const forgotten&, const forgotten&) -> bool = default;
};
struct garbled {
  std::int64_t number = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    std::int64_t other = 0;
    archive(cereal::make_nvp("number", Archive::is_saving::value ? number : other));
  }
};
struct sealed {};

struct box_state {
  std::int64_t count = 0;
  double grams = 0;
  label sticker;
  bool closed = false;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(count), CEREAL_NVP(grams), CEREAL_NVP(sticker), CEREAL_NVP(closed));
  }
};

/// How much every owner has put; a row may be there once.
struct owners {
  static auto schema() -> std::vector<maestro::schema_step> {
    return {
        "create table owners (owner text not null, count integer not null, labelled integer);"
        "create unique index owners_owner_index on owners (owner)"};
  }
  static void project(maestro::transaction& tx, const has_been_put& event) {
    tx.execute("insert into owners (owner, count) values ($1, $2)", event.owner, event.count);
  }
  static void project(maestro::transaction& tx, const stuck&) {
    tx.execute("update owners set labelled = $1", ++calls);  // Wrong: it depends on how often it was called.
  }
  static inline std::int64_t calls = 0;
};

class box : public maestro::aggregate<box, box_state> {
 public:
  static constexpr std::string_view type = "box";
  using commands = maestro::commands<put, weigh, stick, look_inside, describe_context, toss, waver, explode, crush,
                                     forget, garble, burn>;
  using events = maestro::events<has_been_put, weighed, stuck, looked, crushed, forgotten, garbled, sealed>;
  using projections = maestro::projections<owners>;

  static auto eval(const box_state& state, const put& command)
      -> maestro::result<maestro::emits<has_been_put, sealed>> {
    if (state.closed) return maestro::reject("the box is closed");
    maestro::emits<has_been_put, sealed> emitted{has_been_put{command.count, command.owner}};
    if (state.count + command.count >= 10) emitted.add(sealed{});
    return emitted;
  }
  static auto eval(const box_state&, const weigh& command) -> weighed { return {command.grams}; }
  static auto eval(const box_state&, const stick& command) -> stuck { return {command.what}; }
  static auto eval(const box_state&, const look_inside&) { return maestro::nothing; }
  static auto eval(const box_state&, const describe_context&, const maestro::context& with) -> looked {
    return {with.aggregate_id.text(), with.command_id.text(), std::string(with.metadata), with.sequence,
            std::chrono::duration_cast<std::chrono::seconds>(with.time.time_since_epoch()).count()};
  }
  static auto eval(const box_state&, const toss&) -> has_been_put { return {++tosses, "chance"}; }
  static auto eval(const box_state&, const waver&) -> maestro::result<sealed> {
    if (++tosses % 2 == 0) return maestro::reject("not now");
    return sealed{};
  }
  static auto eval(const box_state&, const burn& command) -> maestro::result<sealed> {
    return maestro::reject(command.reason).recorded();
  }
  static auto eval(const box_state&, const explode&) -> sealed { throw std::runtime_error("boom"); }
  static auto eval(const box_state&, const crush&) -> crushed { return {}; }
  static auto eval(const box_state&, const forget&) -> forgotten { return {1, 2}; }
  static auto eval(const box_state&, const garble&) -> garbled { return {7}; }

  static void apply(box_state& state, const has_been_put& event) { state.count += event.count; }
  static void apply(box_state& state, const weighed& event) { state.grams = 1 / event.grams; }
  static void apply(box_state& state, const stuck& event) { state.sticker = event.what; }
  static void apply(box_state&, const looked&) {}
  static void apply(box_state&, const crushed&) { throw std::runtime_error("nothing is left"); }
  static void apply(box_state& state, const forgotten& event) { state.count += event.kept + event.left_out; }
  static void apply(box_state& state, const garbled& event) { state.count += event.number; }
  static void apply(box_state& state, const sealed&) { state.closed = true; }

  static inline std::int64_t tosses = 0;
};

/// Shares the projection of the boxes.
struct crate_state {};
struct fill {
  std::string owner;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(owner));
  }
};
class crate : public maestro::aggregate<crate, crate_state> {
 public:
  static constexpr std::string_view type = "crate";
  using commands = maestro::commands<fill>;
  using events = maestro::events<has_been_put>;
  using projections = maestro::projections<owners>;
  static auto eval(const crate_state&, const fill& command) -> has_been_put { return {1000, command.owner}; }
  static void apply(crate_state&, const has_been_put&) {}
};

}  // namespace test
