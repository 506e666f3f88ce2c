// A file in a folder of its own that goes away with the object.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <stdlib.h>
#include <string>
#include <string_view>

class scratch_file {
 public:
  explicit scratch_file(std::string_view content = "", std::string_view name = "node.conf") {
    auto pattern = (std::filesystem::temp_directory_path() / "maestro-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no scratch folder");
    folder_ = pattern;
    path_ = (folder_ / name).string();
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~scratch_file() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  scratch_file(const scratch_file&) = delete;
  auto operator=(const scratch_file&) -> scratch_file& = delete;

  [[nodiscard]] auto path() const -> const std::string& { return path_; }
  [[nodiscard]] auto folder() const -> std::string { return folder_.string(); }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

inline auto read_whole_file(const std::string& path) -> std::string {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
