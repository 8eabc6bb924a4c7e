/* A session behind the C ABI. */
#pragma once

#include <meshfl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "problem.h"

namespace bench {

/** What the backend refuses. */
struct Refused : std::runtime_error {
  Refused(mfl_status status, const std::string &message) : std::runtime_error(message), status(status) {}
  const mfl_status status;
};

struct Result {
  double loss = 0;
  std::vector<double> confusion;
  std::vector<float> gradients, batch_statistics, logits;
  std::vector<uint8_t> labels;

  bool operator==(const Result &other) const;
};

class Runner {
 public:
  /** Throws Refused, as all its methods do. */
  explicit Runner(uint32_t device);
  ~Runner();
  Runner(const Runner &) = delete;
  Runner &operator=(const Runner &) = delete;

  uint64_t plan(const mfl_request &request) const;
  void prepare(const mfl_request &request);
  /** Prepares and fills in. key: the volumes may stay on the device. */
  void write(const Problem &problem, const mfl_request &request, uint64_t key = 0);
  void run();
  Result read(const mfl_request &request) const;
  Result whole(const Problem &problem, const mfl_request &request, uint64_t key = 0);

  const mfl_backend &table() const { return backend_->common; }
  mfl_session *session() const { return session_; }

 private:
  void check(mfl_status status) const;
  template <class T>
  void read_into(std::vector<T> *to, uint32_t region, uint64_t count) const;

  const mfl_device_backend *backend_;
  mfl_session *session_ = nullptr;
};

}  // namespace bench
