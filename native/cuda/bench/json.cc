#include "json.h"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace bench {

/** Recursive descent over well-formed text; escapes beyond \" and \\ do not occur in the fixtures. */
class Reader {
 public:
  explicit Reader(const std::string &text) : at_(text.c_str()) {}

  Json value() {
    skip();
    if (*at_ == '{') return object();
    if (*at_ == '[') return array();
    Json json;
    if (*at_ == '"') {
      json.text_ = string();
    } else if (std::isdigit(static_cast<unsigned char>(*at_)) || *at_ == '-') {
      char *end = nullptr;
      json.number_ = std::strtod(at_, &end);
      json.is_number_ = true;
      at_ = end;
    } else {
      for (const std::string word : {"true", "false", "null"}) {
        if (std::string(at_, std::min(word.size(), std::string(at_, 5).size())) != word) continue;
        at_ += word.size();
        json.number_ = word == "true";
        json.is_number_ = word != "null";
        return json;
      }
      throw std::runtime_error("not JSON");
    }
    return json;
  }

 private:
  void skip() {
    while (std::isspace(static_cast<unsigned char>(*at_))) at_++;
  }
  void expect(char c) {
    skip();
    if (*at_++ != c) throw std::runtime_error(std::string("not JSON: no ") + c);
  }
  bool take(char c) {
    skip();
    if (*at_ != c) return false;
    at_++;
    return true;
  }
  std::string string() {
    expect('"');
    std::string text;
    while (*at_ != '"') {
      if (*at_ == 0) throw std::runtime_error("not JSON: a text has no end");
      if (*at_ == '\\') at_++;
      text += *at_++;
    }
    at_++;
    return text;
  }
  Json object() {
    Json json;
    expect('{');
    while (!take('}')) {
      skip();
      const std::string name = string();
      expect(':');
      json.members_[name] = value();
      take(',');
    }
    return json;
  }
  Json array() {
    Json json;
    expect('[');
    while (!take(']')) {
      json.elements_.push_back(value());
      take(',');
    }
    return json;
  }

  const char *at_;
};

Json Json::parse_file(const std::string &path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return Reader(text.str()).value();
}

const Json &Json::operator[](const std::string &name) const {
  const auto found = members_.find(name);
  if (found == members_.end()) throw std::runtime_error("there is no " + name);
  return found->second;
}

double Json::number() const {
  if (!is_number_) throw std::runtime_error("not a number");
  return number_;
}

std::vector<uint8_t> Json::decoded() const {
  static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text_) {
    const size_t digit = digits.find(c);
    if (digit == std::string::npos) break;  // the padding
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<uint8_t>(bits >> count));
  }
  return bytes;
}

Line &Line::member(const char *name, const std::string &value) {
  members_ += (members_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
  return *this;
}
Line &Line::text(const char *name, const std::string &value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return member(name, '"' + escaped + '"');
}
Line &Line::number(const char *name, double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return member(name, std::isfinite(value) ? text : "null");
}
Line &Line::numbers(const char *name, const std::vector<double> &values) {
  std::string list;
  for (const double value : values) {
    char text[32];
    std::snprintf(text, sizeof text, "%s%.9g", list.empty() ? "" : ",", value);
    list += text;
  }
  return member(name, '[' + list + ']');
}
void Line::print() const {
  std::printf("{%s}\n", members_.c_str());
  std::fflush(stdout);
}

}  // namespace bench
