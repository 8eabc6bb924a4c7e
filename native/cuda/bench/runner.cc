#include "runner.h"

#include <cstring>

#include "host/request.h"

namespace bench {

namespace {

/** Equal bits: zeros of other signs, and other kinds of no number, differ. */
template <class T>
bool same(const std::vector<T> &a, const std::vector<T> &b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

bool Result::operator==(const Result &other) const {
  return std::memcmp(&loss, &other.loss, sizeof loss) == 0 && same(confusion, other.confusion) && same(gradients, other.gradients) &&
         same(batch_statistics, other.batch_statistics) && same(logits, other.logits) && same(labels, other.labels);
}

Runner::Runner(uint32_t device) : backend_(mfl_cuda_v1()) { check(backend_->create_on(device, &session_)); }
Runner::~Runner() { table().destroy(session_); }

void Runner::check(mfl_status status) const {
  if (status != MFL_OK) throw Refused(status, table().last_error());
}

uint64_t Runner::plan(const mfl_request &request) const {
  uint64_t bytes = 0;
  check(table().plan(session_, &request, &bytes));
  return bytes;
}

void Runner::prepare(const mfl_request &request) { check(table().prepare(session_, &request)); }

void Runner::write(const Problem &problem, const mfl_request &request, uint64_t key) {
  prepare(request);
  const auto put = [&](uint32_t region, const auto &values) {
    check(table().write(session_, region, values.data(), values.size() * sizeof(values[0])));
  };
  const auto put_volume = [&](uint32_t region, const std::vector<uint8_t> &values) {
    if (key == 0) return put(region, values);
    check(backend_->write_kept(session_, region, key, values.data(), values.size()));
  };
  put(MFL_PARAMETERS, problem.parameters);
  put(MFL_STATISTICS, problem.statistics);
  put(MFL_LOSS, problem.loss);
  put_volume(MFL_IMAGES, problem.images);
  if (request.mode != MFL_FORWARD) put_volume(MFL_TRUTH, problem.truth);
  if (request.mode == MFL_TRAIN) put(MFL_DROPOUT, problem.dropout);
}

void Runner::run() { check(table().run(session_)); }

template <class T>
void Runner::read_into(std::vector<T> *to, uint32_t region, uint64_t count) const {
  to->resize(count);
  check(table().read(session_, region, to->data(), count * sizeof(T)));
}

Result Runner::read(const mfl_request &r) const {
  Result result;
  const uint64_t voxels = mfl::cuda::voxels_of(r);
  if (r.want_logits) read_into(&result.logits, MFL_LOGITS, voxels * r.classes);
  if (r.mode == MFL_FORWARD) {
    read_into(&result.labels, MFL_LABELS, voxels);
    return result;
  }
  std::vector<double> score;
  read_into(&score, MFL_SCORE, 1 + uint64_t{r.classes} * r.classes);
  result.loss = score[0];
  result.confusion.assign(score.begin() + 1, score.end());
  if (r.mode != MFL_TRAIN) return result;
  read_into(&result.gradients, MFL_GRADIENTS, mfl::cuda::parameter_count(r));
  read_into(&result.batch_statistics, MFL_BATCH_STATISTICS, mfl::cuda::statistic_count(r));
  return result;
}

Result Runner::whole(const Problem &problem, const mfl_request &request, uint64_t key) {
  write(problem, request, key);
  run();
  return read(request);
}

}  // namespace bench
