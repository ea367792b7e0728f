#include "operator/autoscale/trace.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

namespace sluice_operator::autoscale {

using broker::Code;
using broker::Status;

namespace {

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (char c : line) {
    if (c == ',') cells.emplace_back();
    else if (c != ' ' && c != '\t' && c != '\r') cells.back() += c;
  }
  return cells;
}

Status bad(size_t line, const std::string& what) {
  return Status(Code::kInvalidArgument, "line " + std::to_string(line) + ": " + what);
}

broker::Result<std::map<std::string, size_t>> columns_of(const std::string& header, size_t line) {
  std::map<std::string, size_t> columns;
  auto names = cells_of(header);
  for (size_t i = 0; i < names.size(); i++) columns[names[i]] = i;
  for (const char* name : {"time_s", "bytes_per_s", "records_per_s"}) {
    if (!columns.contains(name)) {
      return bad(line, std::string("the header has no column ") + name +
                           "; it should be time_s,bytes_per_s,records_per_s[,hot_key_share]");
    }
  }
  return columns;
}

broker::Result<double> figure(const std::vector<std::string>& cells, size_t column, size_t line,
                              const char* name, double max) {
  if (column >= cells.size()) return bad(line, std::string("no ") + name);
  char* end = nullptr;
  double value = std::strtod(cells[column].c_str(), &end);
  if (cells[column].empty() || *end != 0 || !std::isfinite(value) || value < 0 || value > max) {
    return bad(line, std::string(name) + " '" + cells[column] + "' is no number that it can be");
  }
  return value;
}

}  // namespace

broker::Result<Trace> parse_trace(const std::string& csv) {
  Trace trace;
  std::map<std::string, size_t> columns;
  size_t number = 0;
  for (size_t begin = 0; begin < csv.size();) {
    size_t end = std::min(csv.find('\n', begin), csv.size());
    std::string line = csv.substr(begin, end - begin);
    begin = end + 1;
    number++;
    if (line.find_first_not_of(" \t\r") == std::string::npos || line[0] == '#') continue;
    if (columns.empty()) {
      if (line.rfind("\xef\xbb\xbf", 0) == 0) line.erase(0, 3);
      ASSIGN_OR_RETURN(columns, columns_of(line, number));
      continue;
    }
    auto cells = cells_of(line);
    TraceSample sample;
    ASSIGN_OR_RETURN(sample.time_s, figure(cells, columns["time_s"], number, "time_s", 1e12));
    ASSIGN_OR_RETURN(sample.bytes_per_s,
                     figure(cells, columns["bytes_per_s"], number, "bytes_per_s", 1e15));
    ASSIGN_OR_RETURN(sample.records_per_s,
                     figure(cells, columns["records_per_s"], number, "records_per_s", 1e15));
    if (auto hot = columns.find("hot_key_share");
        hot != columns.end() && hot->second < cells.size() && !cells[hot->second].empty()) {
      ASSIGN_OR_RETURN(sample.hot_key_share,
                       figure(cells, hot->second, number, "hot_key_share", 1));
    }
    if (!trace.empty() && sample.time_s <= trace.back().time_s) {
      return bad(number, "time_s does not grow");
    }
    trace.push_back(sample);
  }
  if (trace.size() < 2) return Status(Code::kInvalidArgument, "a trace has at least two samples");
  return trace;
}

std::string format_trace(const Trace& trace) {
  std::string csv = "time_s,bytes_per_s,records_per_s,hot_key_share\n";
  char line[128];
  for (const auto& sample : trace) {
    std::snprintf(line, sizeof line, "%.3f,%.1f,%.3f,%.4f\n", sample.time_s, sample.bytes_per_s,
                  sample.records_per_s, sample.hot_key_share);
    csv += line;
  }
  return csv;
}

double end_of(const Trace& trace) {
  const auto& last = trace.back();
  return last.time_s + (last.time_s - trace[trace.size() - 2].time_s);
}

}  // namespace sluice_operator::autoscale
