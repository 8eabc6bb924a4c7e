/* Tests as sentences about behaviour: TEST("a sentence") { check(...); }. A program of them ends with the number that passed. */
#pragma once

#include <functional>
#include <string>

namespace mfl::cuda::test {

struct Registration {
  Registration(const char *sentence, std::function<void()> body);
};

/** Counts a failure with its message, and goes on. */
void fail(const std::string &message);

inline void check(bool holds, const std::string &message) {
  if (!holds) fail(message);
}

}  // namespace mfl::cuda::test

#define MFL_JOIN(a, b) a##b
#define MFL_NAME(a, b) MFL_JOIN(a, b)
#define TEST(sentence)                                                                                              \
  static void MFL_NAME(test_, __LINE__)();                                                                          \
  static const mfl::cuda::test::Registration MFL_NAME(registration_, __LINE__)(sentence, MFL_NAME(test_, __LINE__)); \
  static void MFL_NAME(test_, __LINE__)()
