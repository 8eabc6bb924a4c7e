/* Runs the tests whose sentence contains the first argument, or all. */
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "../kernels/launch.h"
#include "check.h"

namespace mfl::cuda::test {

namespace {

struct Test {
  const char *sentence;
  std::function<void()> body;
};
std::vector<Test> &tests() {
  static std::vector<Test> tests;
  return tests;
}
int failures = 0;

}  // namespace

Registration::Registration(const char *sentence, std::function<void()> body) { tests().push_back({sentence, std::move(body)}); }

void fail(const std::string &message) {
  // One that fails everywhere would fill the screen.
  if (failures++ < 10) std::printf("    %s\n", message.c_str());
}

}  // namespace mfl::cuda::test

int main(int count, char **arguments) {
  using namespace mfl::cuda::test;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("skipped: there is no GPU (%s)\n", cudaGetErrorString(cudaGetLastError()));
    return 77;
  }
  int passed = 0, failed = 0;
  for (const Test &test : tests()) {
    if (count > 1 && !std::strstr(test.sentence, arguments[1])) continue;
    failures = 0;
    const auto start = std::chrono::steady_clock::now();
    test.body();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%s %s (%.1f s)\n", failures == 0 ? "ok  " : "FAIL", test.sentence, seconds);
    std::fflush(stdout);
    (failures == 0 ? passed : failed)++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
