/* The C ABI: one symbol, mfl_cuda_v1, that gives a table of functions. */
#include <meshfl.h>

#include <string>

#include "devices.h"
#include "session.h"

struct mfl_session {
  explicit mfl_session(uint32_t device) : session(device) {}
  mfl::cuda::Session session;
};

namespace mfl::cuda {

namespace {

template <class T>
T &given(T *pointer, const char *what) {
  if (!pointer) throw Failure(MFL_INVALID_ARGUMENT, std::string(what) + " is a null pointer");
  return *pointer;
}

/** A GPU computes in every precision. */
const char *instruction_set_of(uint32_t precision, uint32_t index) {
  return precision <= MFL_BF16 ? instruction_set(index) : nullptr;
}

mfl_status create_on(uint32_t device, mfl_session **session) {
  return guarded([&] {
    given(session, "session") = nullptr;
    *session = new mfl_session(device);
  });
}

mfl_status create(const char *instruction_set, uint32_t, mfl_session **session) {
  return guarded([&] {
    given(session, "session") = nullptr;
    const std::string here = device_info(0).instruction_set;
    if (instruction_set && here != instruction_set) {
      throw Failure(MFL_UNSUPPORTED, "device 0 is " + here + ", not " + instruction_set);
    }
    *session = new mfl_session(0);
  });
}

mfl_status device(uint32_t index, mfl_device *to) {
  return guarded([&] { given(to, "device") = device_info(index); });
}

mfl_status plan(const mfl_session *session, const mfl_request *request, uint64_t *bytes) {
  return guarded([&] { given(bytes, "bytes") = given(session, "session").session.plan(given(request, "request")); });
}

mfl_status prepare(mfl_session *session, const mfl_request *request) {
  return guarded([&] { given(session, "session").session.prepare(given(request, "request")); });
}

mfl_status write_kept(mfl_session *session, uint32_t region, uint64_t key, const void *from, uint64_t bytes) {
  return guarded([&] {
    if (bytes > 0) given(static_cast<const char *>(from), "from");
    given(session, "session").session.write(region, key, from, bytes);
  });
}

mfl_status write(mfl_session *session, uint32_t region, const void *from, uint64_t bytes) {
  return write_kept(session, region, 0, from, bytes);
}

mfl_status run(mfl_session *session) {
  return guarded([&] { given(session, "session").session.run(); });
}

mfl_status read(const mfl_session *session, uint32_t region, void *to, uint64_t bytes) {
  return guarded([&] {
    if (bytes > 0) given(static_cast<char *>(to), "to");
    // Constant to the caller; inside, a read makes the device the thread's.
    const_cast<mfl_session &>(given(session, "session")).session.read(region, to, bytes);
  });
}

mfl_status cancel(mfl_session *session) {
  return guarded([&] { given(session, "session").session.cancel(); });
}

mfl_status destroy(mfl_session *session) {
  return guarded([&] { delete session; });
}

mfl_status measure_peak(const char *, uint32_t, double *) {
  return guarded([] { throw Failure(MFL_UNSUPPORTED, "native/cuda/bench measures the peak of a GPU"); });
}

const mfl_device_backend table = {
    {
        MFL_ABI_VERSION, sizeof(mfl_request),
#ifdef MFL_CUDA_SHIM
        "cuda-shim",  // another name, so that it cannot be taken for an engine
#else
        "cuda",
#endif
        last_error, instruction_set_of, create, plan, prepare, write, run, read, cancel, destroy, measure_peak},
    device,
    create_on,
    write_kept,
};

}  // namespace

}  // namespace mfl::cuda

extern "C" const mfl_device_backend *mfl_cuda_v1(void) { return &mfl::cuda::table; }
