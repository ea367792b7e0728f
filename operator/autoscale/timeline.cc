#include "operator/autoscale/timeline.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace sluice_operator::autoscale {

namespace {

constexpr double kWidth = 960, kHeight = 360, kLeft = 56, kRight = 16, kTop = 56, kBottom = 40;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out;
}

// The least of 1, 2, 5, 10, … steps that cuts `span` into at most `parts`.
double step_for(double span, int parts) {
  double step = std::pow(10, std::floor(std::log10(std::max(span, 1e-9) / parts)));
  for (double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (span / (step * factor) <= parts) return step * factor;
  }
  return step * 10;
}

double time_step(double span) {
  for (double step : {1., 5., 15., 60., 300., 900., 1800., 3600., 3. * 3600, 6. * 3600, 12. * 3600,
                      86400., 7. * 86400, 30. * 86400}) {
    if (span / step <= 10) return step;
  }
  return step_for(span, 10);
}

std::string time_text(const Timeline& timeline, double time_s, double step) {
  char text[32];
  if (timeline.wall_clock) {
    auto seconds = static_cast<time_t>(time_s);
    tm parts{};
    gmtime_r(&seconds, &parts);
    std::strftime(text, sizeof text, step >= 86400 ? "%m-%d" : step >= 60 ? "%H:%M" : "%H:%M:%S",
                  &parts);
    return text;
  }
  double rest = time_s - timeline.begin_s;
  if (step >= 86400) std::snprintf(text, sizeof text, "%.0f d", rest / 86400);
  else if (step >= 3600) std::snprintf(text, sizeof text, "%.0f h", rest / 3600);
  else if (step >= 60) std::snprintf(text, sizeof text, "%.0f min", rest / 60);
  else std::snprintf(text, sizeof text, "%.0f s", rest);
  return text;
}

class Drawing {
 public:
  explicit Drawing(const Timeline& timeline) : t_(timeline) {
    for (const auto& [at, value] : t_.demand) top_ = std::max(top_, value);
    for (const auto& [at, value] : t_.count) top_ = std::max(top_, static_cast<double>(value));
    top_ *= 1.1;
  }

  std::string svg() {
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(kWidth) + "\" height=\"" +
           number(kHeight) + "\" viewBox=\"0 0 960 360\" font-family=\"sans-serif\" font-size=\"12\">\n" +
           "<title>" + escape(t_.title) + "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    text(kLeft, 22, t_.title, "font-size=\"15\" fill=\"#222\"");
    text(kLeft, 42, t_.demand_name, "fill=\"#2a78b5\"");
    text(kLeft + 180, 42, t_.count_name, "fill=\"#c0582b\"");
    axes();
    if (!t_.demand.empty()) {
      out_ += "<path d=\"" + steps(t_.demand) + "\" fill=\"none\" stroke=\"#2a78b5\" stroke-width=\"1\"/>\n";
    }
    std::vector<std::pair<double, double>> count(t_.count.begin(), t_.count.end());
    if (!count.empty()) {
      out_ += "<path d=\"" + steps(count) +
              "\" fill=\"none\" stroke=\"#c0582b\" stroke-width=\"2\"/>\n";
    }
    marks();
    return out_ + "</svg>\n";
  }

 private:
  double x(double time_s) const {
    double span = std::max(1e-9, t_.end_s - t_.begin_s);
    return kLeft + (kWidth - kLeft - kRight) * std::clamp((time_s - t_.begin_s) / span, 0.0, 1.0);
  }
  double y(double value) const {
    return kHeight - kBottom - (kHeight - kTop - kBottom) * std::min(1.0, value / top_);
  }
  void text(double at_x, double at_y, const std::string& words, const std::string& style) {
    out_ += "<text x=\"" + number(at_x) + "\" y=\"" + number(at_y) + "\" " + style + ">" +
            escape(words) + "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const char* colour) {
    out_ += "<path d=\"M" + number(x1) + " " + number(y1) + "L" + number(x2) + " " + number(y2) +
            "\" stroke=\"" + colour + "\"/>\n";
  }
  void axes() {
    double step = std::max(1.0, step_for(top_, 6));
    for (double value = 0; value <= top_; value += step) {
      line(kLeft, y(value), kWidth - kRight, y(value), value == 0 ? "#888" : "#e5e5e5");
      text(kLeft - 6, y(value) + 4, std::to_string(static_cast<int64_t>(value)),
           "text-anchor=\"end\" fill=\"#666\"");
    }
    double every = time_step(t_.end_s - t_.begin_s);
    double first = t_.wall_clock ? std::ceil(t_.begin_s / every) * every : t_.begin_s;
    for (double at = first; at <= t_.end_s; at += every) {
      line(x(at), kHeight - kBottom, x(at), kHeight - kBottom + 5, "#888");
      text(x(at), kHeight - kBottom + 20, time_text(t_, at, every),
           "text-anchor=\"middle\" fill=\"#666\"");
    }
  }
  // A staircase; points that fall on one column of pixels become its lowest and highest.
  std::string steps(const std::vector<std::pair<double, double>>& points) const {
    std::string path;
    double last_x = -1, last_y = 0, low = 0, high = 0;
    auto flush = [&] {
      if (high - low > 0.05) path += "V" + number(low) + "V" + number(high) + "V" + number(last_y);
    };
    for (const auto& [at, value] : points) {
      double next_x = x(at), next_y = y(value);
      if (path.empty()) {
        path = "M" + number(next_x) + " " + number(next_y);
        low = high = next_y;
      } else if (next_x - last_x < 0.5) {
        low = std::min(low, next_y);
        high = std::max(high, next_y);
        last_y = next_y;
        continue;
      } else {
        flush();
        path += "H" + number(next_x) + "V" + number(next_y);
        low = high = next_y;
      }
      last_x = next_x;
      last_y = next_y;
    }
    flush();
    return path + "H" + number(x(t_.end_s));
  }
  void marks() {
    for (const auto& mark : t_.marks) {
      double at = x(mark.time_s), base = kHeight - kBottom;
      out_ += "<path d=\"M" + number(at - 3) + " " + number(mark.up ? base - 1 : base - 8) + "L" +
              number(at + 3) + " " + number(mark.up ? base - 1 : base - 8) + "L" + number(at) + " " +
              number(mark.up ? base - 8 : base - 1) + "Z\" fill=\"" + (mark.up ? "#b33" : "#383") +
              "\"><title>" + escape(mark.label) + "</title></path>\n";
    }
  }

  const Timeline& t_;
  double top_ = 1;
  std::string out_;
};

}  // namespace

std::string draw(const Timeline& timeline) { return Drawing(timeline).svg(); }

}  // namespace sluice_operator::autoscale
