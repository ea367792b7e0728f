#pragma once
// Command lines: which command is meant, its options and words, and the help of each level. Pure.
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/status.h"

namespace broker::cli {

struct Option {
  std::string name;   // without dashes
  std::string value;  // what help calls its value; empty: a switch
  std::string help;
};

class Arguments {
 public:
  bool has(const std::string& name) const { return options_.count(name) > 0; }
  // The last value given, else `otherwise`.
  std::string get(const std::string& name, const std::string& otherwise = "") const;
  std::vector<std::string> all(const std::string& name) const;
  const std::string& word(size_t position) const { return words_.at(position); }
  // Whole numbers in [low, high]; kInvalidArgument names the option.
  Result<int64_t> number(const std::string& name, int64_t otherwise, int64_t low,
                         int64_t high) const;
  Result<int64_t> bytes(const std::string& name, int64_t otherwise) const;
  Result<int64_t> duration_ms(const std::string& name, int64_t otherwise) const;
  bool json() const { return get("output", "table") == "json"; }

 private:
  friend struct Parsing;
  std::multimap<std::string, std::string> options_;
  std::vector<std::string> words_;
};

struct Command {
  std::string path;                // "stream create"
  std::vector<std::string> words;  // "NAME"
  std::string summary;
  std::vector<Option> options;
  std::vector<std::string> examples;
  // The exit status, or what went wrong.
  std::function<Result<int>(const Arguments&)> run;
};

struct Invocation {
  const Command* command = nullptr;  // null: `help` or `version`
  bool help = false;
  bool version = false;
  std::string topic;  // of the help: a command, or the beginning of some
  Arguments arguments;
};

// kInvalidArgument says what is wrong and where help is.
Result<Invocation> parse_command_line(const std::vector<Command>& commands,
                                      const std::vector<std::string>& args);
// Help on a command, on all commands that begin so, or on the whole.
std::string help_text(const std::vector<Command>& commands, const std::string& topic);

}  // namespace broker::cli
