/* The C ABI of meshfl's native engines.
 *
 * A backend exports one symbol that gives a table of functions: mfl_cpu_v1() for the CPU, mfl_cuda_v1() for NVIDIA's GPUs. Every
 * function returns an mfl_status; what went wrong is last_error(), a message of the calling thread that stays until its next
 * failure. Nothing throws, exits, prints or aborts. Buffers belong to the caller and are not kept beyond the call.
 *
 * A session is used so: prepare, write what the run reads, run (it blocks), read what it gives. cancel may be called from any
 * thread at any time, the others one after the other: while a run is in progress they return MFL_BUSY.
 */
#ifndef MESHFL_H
#define MESHFL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MFL_ABI_VERSION 2
#define MFL_MAX_BLOCKS 64

typedef enum mfl_status {
  MFL_OK = 0,
  MFL_CANCELLED = 1,
  /* A voxel of the truth is labelled with no class. */
  MFL_BAD_LABEL = 2,
  MFL_INVALID_ARGUMENT = 3,
  MFL_OUT_OF_MEMORY = 4,
  /* This machine, or this build, cannot do it. */
  MFL_UNSUPPORTED = 5,
  MFL_BUSY = 6,
  MFL_INTERNAL = 7
} mfl_status;

typedef enum mfl_mode { MFL_FORWARD = 0, MFL_EVALUATE = 1, MFL_TRAIN = 2 } mfl_mode;
typedef enum mfl_activation { MFL_ELU = 0, MFL_RELU = 1, MFL_GELU = 2 } mfl_activation;
/* What a block's tensors hold and its convolutions multiply. Parameters, sums and all that crosses this interface are fp32. */
typedef enum mfl_precision { MFL_FP32 = 0, MFL_BF16 = 1 } mfl_precision;
typedef enum mfl_normalization { MFL_BATCH_NORM = 0, MFL_INSTANCE_NORM = 1, MFL_NO_NORM = 2 } mfl_normalization;

/* A run: the model, the batch, and what is asked of them. */
typedef struct mfl_request {
  uint32_t mode;
  uint32_t channels;
  uint32_t classes;
  uint32_t blocks;
  uint32_t activation;
  uint32_t normalization;
  uint32_t convolution_bias;
  uint32_t volumes;
  uint32_t depth;
  uint32_t height;
  uint32_t width;
  /* Images are floats (1) or bytes to be divided by 255 (0). */
  uint32_t float_images;
  uint32_t want_logits;
  uint32_t precision;
  /* The session's own number stands. */
  uint32_t threads;
  /* Training: bit b of the one, bit b - 32 of the other: the output of block b is kept until the way back; that of the last block
   * always is. The others are computed again, in the tensors of later blocks, which are free by then. */
  uint32_t kept_low;
  uint32_t kept_high;
  uint32_t dilations[MFL_MAX_BLOCKS];
} mfl_request;

/* What a run reads and gives. Parameters and statistics are flat, in PyTorch's state_dict order. */
typedef enum mfl_region {
  /* In: floats. */
  MFL_PARAMETERS = 0,
  /* In: running means and variances, floats. */
  MFL_STATISTICS = 1,
  /* In, training: a factor for every (volume, block, channel), floats. */
  MFL_DROPOUT = 2,
  /* In: class weights, then the label smoothing: doubles. */
  MFL_LOSS = 3,
  /* In: (N, D, H, W) floats or bytes. */
  MFL_IMAGES = 4,
  /* In: (N, D, H, W) bytes. */
  MFL_TRUTH = 5,
  /* Out, forward: (N, D, H, W) bytes. */
  MFL_LABELS = 6,
  /* Out, when asked for: (N, classes, D, H, W) floats. */
  MFL_LOGITS = 7,
  /* Out, training: floats, as the parameters. */
  MFL_GRADIENTS = 8,
  /* Out, training: means and biased variances, floats, as the statistics. */
  MFL_BATCH_STATISTICS = 9,
  /* Out: the loss, then counts by (truth, prediction): doubles. */
  MFL_SCORE = 10
} mfl_region;

typedef struct mfl_session mfl_session;

typedef struct mfl_backend {
  uint32_t abi_version;
  /* sizeof(mfl_request) */
  uint32_t request_bytes;
  const char *name;
  const char *(*last_error)(void);
  /* The instruction sets of this machine that compute in a precision, best first; null beyond the last. */
  const char *(*instruction_set)(uint32_t precision, uint32_t index);
  /* Null for the best instruction set of fp32. Results have the same bits for any number of threads, not for another instruction set. */
  mfl_status (*create)(const char *instruction_set, uint32_t threads, mfl_session **session);
  /* Bytes that a run takes; allocates nothing. */
  mfl_status (*plan)(const mfl_session *session, const mfl_request *request, uint64_t *bytes);
  mfl_status (*prepare)(mfl_session *session, const mfl_request *request);
  mfl_status (*write)(mfl_session *session, uint32_t region, const void *from, uint64_t bytes);
  mfl_status (*run)(mfl_session *session);
  mfl_status (*read)(const mfl_session *session, uint32_t region, void *to, uint64_t bytes);
  mfl_status (*cancel)(mfl_session *session);
  /* Nothing else may use the session any more; null is no session. */
  mfl_status (*destroy)(mfl_session *session);
  /* Multiply-adds that these threads can do, in floating-point operations a second; takes a quarter of a second. */
  mfl_status (*measure_peak)(const char *instruction_set, uint32_t threads, double *flops);
} mfl_backend;

/* A device with memory of its own. */
typedef struct mfl_device {
  /* What a person would call it. Ends with a zero, as all names here. */
  char name[256];
  /* For example sm_90. */
  char instruction_set[32];
  uint64_t memory_bytes;
  /* What of it is free now. */
  uint64_t free_bytes;
} mfl_device;

/* The table of a backend that computes on such devices. */
typedef struct mfl_device_backend {
  /* Its create makes sessions on device 0. Threads are ignored. */
  mfl_backend common;
  /* MFL_INVALID_ARGUMENT beyond the last device; MFL_UNSUPPORTED where none can be used. A second line of the message, where
   * there is one, says what would mend it. */
  mfl_status (*device)(uint32_t index, mfl_device *device);
  mfl_status (*create_on)(uint32_t device, mfl_session **session);
  /* A write of images or truth that the session may keep on the device beyond the run. The key, which is not 0, stands for the
   * same values of that region as long as the session lives: while they are there, `from` is not read. */
  mfl_status (*write_kept)(mfl_session *session, uint32_t region, uint64_t key, const void *from, uint64_t bytes);
} mfl_device_backend;

const mfl_backend *mfl_cpu_v1(void);
const mfl_device_backend *mfl_cuda_v1(void);

#ifdef __cplusplus
}
#endif

#endif
