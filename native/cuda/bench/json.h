/* Reading the JSON of fixtures/golden, and writing lines of it. */
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bench {

/** A value; a member or element that is not there throws std::runtime_error. */
class Json {
 public:
  static Json parse_file(const std::string &path);

  bool has(const std::string &name) const { return members_.count(name) > 0; }
  const Json &operator[](const std::string &name) const;
  const std::vector<Json> &elements() const { return elements_; }
  double number() const;
  const std::string &text() const { return text_; }
  /** Base64 text as values of a type. */
  template <class T>
  std::vector<T> values() const {
    const std::vector<uint8_t> bytes = decoded();
    std::vector<T> values(bytes.size() / sizeof(T));
    __builtin_memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }

 private:
  friend class Reader;
  std::vector<uint8_t> decoded() const;

  std::map<std::string, Json> members_;
  std::vector<Json> elements_;
  std::string text_;
  double number_ = 0;
  bool is_number_ = false;
};

/** One object a line, its members in the order given. */
class Line {
 public:
  Line &text(const char *name, const std::string &value);
  Line &number(const char *name, double value);
  Line &numbers(const char *name, const std::vector<double> &values);
  void print() const;

 private:
  Line &member(const char *name, const std::string &value);
  std::string members_;
};

}  // namespace bench
