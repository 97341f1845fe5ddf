/* kilograd: run and train quantized neural networks in memory that you own.
 *
 * A plan file (.kgp) holds everything: constants, initial state, and lists of kernel calls with every address
 * worked out. Three steps:
 *
 *     alignas(16) static uint8_t state[STATE_BYTES], arena[ARENA_BYTES];
 *     kg_plan plan;
 *     kg_session session;
 *     if (kg_plan_open(&plan, file, file_bytes) != KG_OK) ...        verify the file; nothing is copied
 *     if (kg_session_init(&session, &plan, state, sizeof state, arena, sizeof arena) != KG_OK) ...
 *
 *     kg_tensor x;
 *     kg_plan_input(&plan, 0, &x);
 *     memcpy(kg_tensor_data(&session, &x), image, x.bytes);           fill the input
 *     kg_run(&session, infer);                                        infer: from kg_plan_find_entry(&plan, "infer", &infer)
 *
 * Rules that hold for every function here: no heap, no global variables, no input or output. Everything that
 * can fail gives a kg_status. Any number of plans and sessions may exist; one session belongs to one thread
 * at a time, and sessions can share a plan.
 *
 * What a file can do: kg_plan_open checks every offset, size, count and argument, so that running a plan that
 * it accepted reads and writes nothing outside the file, the state and the arena, whatever the file says. */
#ifndef KILOGRAD_H
#define KILOGRAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Alignment in bytes of the plan file, the state and the arena in memory. */
#define KG_ALIGNMENT 16
/* Most dimensions of a tensor. */
#define KG_MAX_RANK 6
/* Version of plan files that this runtime reads. */
#define KG_PLAN_VERSION 1

typedef enum kg_status {
  KG_OK = 0,
  KG_NOT_A_PLAN,     /* the bytes do not begin as a plan file does */
  KG_WRONG_VERSION,  /* a plan file of another version */
  KG_TRUNCATED,      /* the size is not the one that the file states */
  KG_BAD_CHECKSUM,   /* the file is damaged */
  KG_BAD_LAYOUT,     /* a section, record or name lies outside the file, or sections overlap */
  KG_BAD_TENSOR,     /* a tensor lies outside its segment, or its type and shape are not consistent */
  KG_UNKNOWN_KERNEL, /* a call needs a kernel that this build does not have */
  KG_BAD_CALL,       /* the arguments of a call could reach outside the memory */
  KG_BAD_PROGRAM,    /* a region or an entry point names calls, regions or a guard that do not exist */
  KG_MISALIGNED,     /* memory is not aligned to KG_ALIGNMENT */
  KG_TOO_SMALL,      /* memory is smaller than the plan needs */
  KG_NOT_FOUND,      /* no tensor or entry point of that name or index */
  KG_BAD_ARGUMENT    /* a null pointer */
} kg_status;

/* The status in words. */
const char *kg_status_text(kg_status status);

/* ---- plans ---- */

/* A table inside the file. */
typedef struct kg_section {
  const uint8_t *data;
  uint32_t bytes;
  uint32_t count; /* records */
} kg_section;

enum { KG_SECTIONS = 12 };

/* A verified plan file. It points into the file, which must stay where it is and must not change. */
typedef struct kg_plan {
  const uint8_t *file;
  uint32_t file_bytes;
  uint32_t arena_bytes; /* memory of one step: activations, errors, scratch */
  uint32_t state_bytes; /* persistent memory: learned weights, exponents, counters */
  uint32_t const_bytes; /* constants, used where they are in the file */
  const char *name;
  kg_section section[KG_SECTIONS];
  uint32_t failed_at; /* after an error: index of the tensor, call or region at fault */
} kg_plan;

/* Verify a plan file and make it ready to use. */
kg_status kg_plan_open(kg_plan *plan, const void *file, size_t file_bytes);

typedef enum kg_dtype { KG_INT8 = 0, KG_UINT8, KG_INT16, KG_INT32, KG_FLOAT32, KG_BITS, KG_INT64 } kg_dtype;
typedef enum kg_kind { KG_CONST = 1, KG_STATE = 2, KG_ARENA = 3 } kg_kind;

/* A named tensor. Real value of an int8 element: scale * (q - zero_point), where scale is not 0. */
typedef struct kg_tensor {
  const char *name;
  kg_dtype dtype;
  kg_kind kind; /* constants are read-only; arena tensors hold their value only until a later call reuses the place */
  uint32_t rank;
  int32_t dims[KG_MAX_RANK];
  uint32_t bytes;
  uint32_t offset; /* in its segment */
  float scale;     /* 0 when there is none, or one for each channel */
  int32_t zero_point;
} kg_tensor;

uint32_t kg_plan_tensor_count(const kg_plan *plan);
/* Tensor at an index of the plan's table. */
kg_status kg_plan_tensor(const kg_plan *plan, uint32_t index, kg_tensor *tensor);
/* Tensor of that name. */
kg_status kg_plan_find_tensor(const kg_plan *plan, const char *name, kg_tensor *tensor);
/* Input and output of the model number `index`, from 0. */
kg_status kg_plan_input(const kg_plan *plan, uint32_t index, kg_tensor *tensor);
kg_status kg_plan_output(const kg_plan *plan, uint32_t index, kg_tensor *tensor);
/* What a training step learns towards: an int32 class, or an int8 tensor like the output. */
kg_status kg_plan_label(const kg_plan *plan, kg_tensor *tensor);
/* Tensor number `index` of those that the frozen part of the network hands to the part that learns. */
kg_status kg_plan_boundary(const kg_plan *plan, uint32_t index, kg_tensor *tensor);

/* Tensor number `index` of the model's own variables: state that every run of the forward pass moves on (streaming models). */
kg_status kg_plan_variable(const kg_plan *plan, uint32_t index, kg_tensor *tensor);

/* Entry points: "infer", and "train_step" when the plan can train. */
kg_status kg_plan_find_entry(const kg_plan *plan, const char *name, uint32_t *entry);

/* ---- sessions ---- */

/* A plan at work in memory that the caller owns. */
typedef struct kg_session {
  const kg_plan *plan;
  uint8_t *state;
  uint8_t *arena;
} kg_session;

/* Attach memory of at least plan->state_bytes and plan->arena_bytes, and set the state to what the file says
 * (factory state). */
kg_status kg_session_init(kg_session *session, const kg_plan *plan, void *state, size_t state_bytes, void *arena,
                          size_t arena_bytes);
/* The same, but keep the content of `state`: weights that were learned before. */
kg_status kg_session_attach(kg_session *session, const kg_plan *plan, void *state, size_t state_bytes, void *arena,
                            size_t arena_bytes);
/* Forget everything learned: back to factory state. */
void kg_session_reset(kg_session *session);

/* Begin a new stream: the model's variables get their first content, what was learned stays. A state that was kept (saved and attached)
 * holds the variables of the moment when it was saved: call this after attaching it, unless the stream goes on. */
void kg_session_reset_variables(kg_session *session);

/* Run an entry point. */
kg_status kg_run(kg_session *session, uint32_t entry);
/* Run one without its regions of that name, such as "frozen" when the boundary tensors have been put back. */
kg_status kg_run_without(kg_session *session, uint32_t entry, const char *region);
/* Run only its regions of that name. */
kg_status kg_run_only(kg_session *session, uint32_t entry, const char *region);

/* Memory of a tensor to read and to write; NULL for a constant. */
void *kg_tensor_data(const kg_session *session, const kg_tensor *tensor);
/* Memory of a tensor to read. */
const void *kg_tensor_read(const kg_session *session, const kg_tensor *tensor);

/* What the last training step found. */
typedef struct kg_step_result {
  int32_t loss;      /* 16 fraction bits: nats for cross-entropy, squared real units for mean squared error */
  int32_t predicted; /* class with the largest output, -1 where there are no classes */
  int32_t skipped;   /* 1: learned well enough already, no backward pass */
} kg_step_result;

/* KG_NOT_FOUND when the plan cannot train. */
kg_status kg_last_step(const kg_session *session, kg_step_result *result);

#ifdef __cplusplus
}
#endif

#endif
