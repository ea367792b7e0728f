#pragma once
// What the commands print: tables, JSON, record text. Pure but for the terminal test.
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace broker::cli {

// Left-aligned columns under a heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

void print(const std::string& text);
void print_json(const nlohmann::ordered_json& json);  // indented, for people and jq
std::string base64(std::string_view bytes);
// Progress and questions go to standard error only when a person sees them.
bool stderr_is_terminal();

}  // namespace broker::cli
