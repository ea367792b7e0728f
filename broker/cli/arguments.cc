#include "broker/cli/arguments.h"

#include <algorithm>
#include <charconv>

#include "broker/cli/units.h"

namespace broker::cli {

namespace {

const std::vector<Option>& global_options() {
  static const std::vector<Option> options = {
      {"broker", "H:P", "any broker, or a list of some (default $SLUICE_BROKER, else localhost:9090)"},
      {"tls-ca", "FILE", "CA of the brokers' certificates (PEM): speak TLS"},
      {"tls-cert", "FILE", "a client's certificate (PEM), with --tls-key"},
      {"tls-key", "FILE", "its key (PEM)"},
      {"user", "NAME", "authenticate, under TLS, with $SLUICE_PASSWORD or --password-file"},
      {"password-file", "FILE", "whose first line is the password"},
      {"server", "H:P", "the same as --broker"},
      {"output", "table|json", "form of the output; -o for short"},
      {"help", "", "this text"},
      {"version", "", "the version of this program"},
  };
  return options;
}

bool begins_with_words(const std::string& path, const std::string& words) {
  return words.empty() || path == words || path.rfind(words + " ", 0) == 0;
}

const Option* find_option(const std::vector<Option>& options, const std::string& name) {
  auto it = std::find_if(options.begin(), options.end(),
                         [&](const Option& option) { return option.name == name; });
  return it == options.end() ? nullptr : &*it;
}

std::string hint(const std::string& topic) {
  return ": see `sluice " + (topic.empty() ? "" : topic + " ") + "--help`";
}

Status usage_error(const std::string& what, const std::string& topic) {
  return Status(Code::kInvalidArgument, what + hint(topic));
}

std::string option_lines(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    std::string name = "  --" + option.name + (option.value.empty() ? "" : " " + option.value);
    name.resize(std::max<size_t>(name.size() + 2, 30), ' ');
    text += name + option.help + "\n";
  }
  return text;
}

std::string synopsis(const Command& command) {
  std::string text = "sluice " + command.path;
  for (const auto& word : command.words) text += " " + word;
  return text;
}

}  // namespace

struct Parsing {
  const std::vector<Command>& commands;
  const std::vector<std::string>& args;
  Invocation out;
  size_t at = 0;

  const Command* command_at(const std::string& path) const {
    for (const auto& command : commands) {
      if (command.path == path) return &command;
    }
    return nullptr;
  }
  bool is_beginning(const std::string& path) const {
    return std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
      return begins_with_words(command.path, path);
    });
  }
  const Option* option_of(const std::string& name) const {
    if (const Option* option = find_option(global_options(), name)) return option;
    return out.command ? find_option(out.command->options, name) : nullptr;
  }

  // An option at args[at]; `at` moves behind it.
  Status option() {
    std::string name = args[at++];
    static const std::map<std::string, std::string> shorts = {
        {"-h", "--help"},      {"-o", "--output"},         {"-n", "--namespace"},
        {"-f", "--file"},      {"-A", "--all-namespaces"}};
    if (auto it = shorts.find(name); it != shorts.end()) name = it->second;
    if (name.rfind("--", 0) != 0) return usage_error("unknown option '" + name + "'", out.topic);
    name.erase(0, 2);
    std::string value;
    auto equals = name.find('=');
    bool inlined = equals != std::string::npos;
    if (inlined) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const Option* option = option_of(name);
    if (!option) return usage_error("unknown option --" + name, out.topic);
    if (option->value.empty() && inlined) {
      return usage_error("--" + name + " takes no value", out.topic);
    }
    if (!option->value.empty() && !inlined) {
      if (at >= args.size()) {
        return usage_error("--" + name + " needs a value (" + option->value + ")", out.topic);
      }
      value = args[at++];
    }
    if (name == "help") out.help = true;
    if (name == "version") out.version = true;
    if (name == "server") name = "broker";
    out.arguments.options_.emplace(name, value);
    return {};
  }

  // The command's words, with global options before and between them.
  Status find_command() {
    // "rebalance" is a command, and the beginning of "rebalance approve".
    auto goes_on = [&] {
      return args[at].empty() || args[at][0] == '-' ? false
                                                    : is_beginning(out.topic + " " + args[at]);
    };
    while (at < args.size() && (!out.command || goes_on())) {
      if (args[at].size() > 1 && args[at][0] == '-') {
        RETURN_IF_ERROR(option());
        continue;
      }
      std::string path = out.topic.empty() ? args[at] : out.topic + " " + args[at];
      if (!is_beginning(path)) return usage_error("unknown command '" + path + "'", out.topic);
      out.topic = path;
      out.command = command_at(path);
      ++at;
    }
    return {};
  }

  Status rest() {
    bool only_words = false;
    while (at < args.size()) {
      const std::string& arg = args[at];
      if (!only_words && arg == "--") {
        only_words = true;
        ++at;
      } else if (!only_words && arg.size() > 1 && arg[0] == '-') {
        RETURN_IF_ERROR(option());
      } else {
        out.arguments.words_.push_back(arg);
        ++at;
      }
    }
    return {};
  }

  Status check() const {
    if (!out.command) {
      return usage_error(out.topic.empty() ? "no command" : "'" + out.topic + "' is not a command "
                                                                              "by itself",
                         out.topic);
    }
    const auto& words = out.arguments.words_;
    if (words.size() < out.command->words.size()) {
      return usage_error(out.command->words[words.size()] + " is missing", out.topic);
    }
    if (words.size() > out.command->words.size()) {
      return usage_error("too many words: '" + words[out.command->words.size()] + "'", out.topic);
    }
    std::string form = out.arguments.get("output", "table");
    if (form != "table" && form != "json") {
      return usage_error("-o is table or json, not '" + form + "'", out.topic);
    }
    return {};
  }
};

Result<Invocation> parse_command_line(const std::vector<Command>& commands,
                                      const std::vector<std::string>& args) {
  Parsing parsing{commands, args, {}, 0};
  RETURN_IF_ERROR(parsing.find_command());
  RETURN_IF_ERROR(parsing.rest());
  if (args.empty()) parsing.out.help = true;
  if (!parsing.out.help && !parsing.out.version) RETURN_IF_ERROR(parsing.check());
  return std::move(parsing.out);
}

std::string help_text(const std::vector<Command>& commands, const std::string& topic) {
  std::string text;
  for (const auto& command : commands) {
    if (command.path != topic) continue;
    text = command.summary + "\n\n  " + synopsis(command) + " [options]\n\n";
    if (!command.options.empty()) text += "Options:\n" + option_lines(command.options) + "\n";
    text += "Everywhere:\n" + option_lines(global_options());
    if (!command.examples.empty()) text += "\nExamples:\n";
    for (const auto& example : command.examples) text += "  " + example + "\n";
    return text;
  }
  text = topic.empty() ? "sluice: produce to, consume from and administer Sluice streams.\n\n"
                       : "sluice " + topic + ":\n\n";
  for (const auto& command : commands) {
    if (!begins_with_words(command.path, topic)) continue;
    std::string line = "  " + synopsis(command);
    line.resize(std::max<size_t>(line.size() + 2, 42), ' ');
    text += line + command.summary + "\n";
  }
  text += "\nEverywhere:\n" + option_lines(global_options());
  text += "\nExamples:\n";
  for (const auto& command : commands) {
    if (begins_with_words(command.path, topic) && !command.examples.empty()) {
      text += "  " + command.examples.front() + "\n";
    }
  }
  text += "\n`sluice COMMAND --help` says more about a command.\n";
  return text;
}

std::string Arguments::get(const std::string& name, const std::string& otherwise) const {
  auto range = options_.equal_range(name);
  return range.first == range.second ? otherwise : std::prev(range.second)->second;
}

std::vector<std::string> Arguments::all(const std::string& name) const {
  std::vector<std::string> values;
  auto range = options_.equal_range(name);
  for (auto it = range.first; it != range.second; ++it) values.push_back(it->second);
  return values;
}

Result<int64_t> Arguments::number(const std::string& name, int64_t otherwise, int64_t low,
                                  int64_t high) const {
  if (!has(name)) return otherwise;
  auto value = parse_number(get(name), low, high);
  if (!value.ok()) return value.status().with_context("--" + name);
  return value;
}

Result<int64_t> Arguments::bytes(const std::string& name, int64_t otherwise) const {
  if (!has(name)) return otherwise;
  auto value = parse_bytes(get(name));
  if (!value.ok()) return value.status().with_context("--" + name);
  return value;
}

Result<int64_t> Arguments::duration_ms(const std::string& name, int64_t otherwise) const {
  if (!has(name)) return otherwise;
  auto value = parse_duration_ms(get(name));
  if (!value.ok()) return value.status().with_context("--" + name);
  return value;
}

}  // namespace broker::cli
