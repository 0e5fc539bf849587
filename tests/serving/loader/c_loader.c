// Loads a SavedModel as TensorFlow Serving does, through TF_LoadSessionFromSavedModel, with no
// Python in the process, and replays requests. XLA compilation is off, as in a stock server.
//
//   c_loader [-n REPEATS] [-w COUNT] [-c CONFIG] [-x] SAVED_MODEL REQUESTS ANSWERS [OP_LIBRARY...]
//
// -x           leaves XLA compilation on, as the server's --xla_cpu_compilation_enabled does
// OP_LIBRARY   loaded first, with TF_LoadLibrary: what is not named is not there
// CONFIG       a file with a serialized ConfigProto: threads
// REPEATS      how often each request is asked (default 1); the last answer is written
// COUNT        so many requests at the start are asked once: they warm the model up (default 0)
//
// REQUESTS and ANSWERS are files of numbers in the machine's own byte order and of bytes:
//   text     uint64 length, bytes
//   tensor   int32 type, int32 rank, int64 dimensions..., then the elements: texts, or raw bytes
//   request  uint32 count, {text "operation:index", tensor} for each input,
//            uint32 count, text "operation:index" for each output
//   answer   int32 code, 0 if it went well: then the outputs' tensors, as many as were asked for;
//            else text, the error
// A line "request repeat microseconds" goes to stdout for each run.
//
// Exit code: 0 all requests were run (some perhaps with an error), 1 the SavedModel or an op library
// was refused, 2 the command or a file is wrong.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

// tensorflow::DisableXlaCompilation() of compiler/jit/flags.h, which is what the server calls.
void _ZN10tensorflow21DisableXlaCompilationEv(void);

enum { MAX_TENSORS = 64, MAX_RANK = 16, REFUSED = 1, WRONG = 2 };

typedef struct {
  uint32_t num_inputs, num_outputs;
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor* values[MAX_TENSORS];
} Request;

static void fail(int code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(code);
}

static void check(const TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(REFUSED, "%s: %s", what, TF_Message(status));
}

static void* allocate(size_t size) {
  void* memory = malloc(size ? size : 1);
  if (memory == NULL) fail(WRONG, "no memory for %zu bytes", size);
  return memory;
}

// --- files

static void read_bytes(FILE* file, void* place, size_t size) {
  if (fread(place, 1, size, file) != size) fail(WRONG, "the requests end too early");
}

static void write_bytes(FILE* file, const void* place, size_t size) {
  if (fwrite(place, 1, size, file) != size) fail(WRONG, "the answers cannot be written");
}

// Returns a text with a NUL behind it, to be freed.
static char* read_text(FILE* file, uint64_t* size) {
  read_bytes(file, size, sizeof *size);
  char* text = allocate(*size + 1);
  read_bytes(file, text, *size);
  text[*size] = '\0';
  return text;
}

static void write_text(FILE* file, const char* text, uint64_t size) {
  write_bytes(file, &size, sizeof size);
  write_bytes(file, text, size);
}

static TF_Buffer* read_whole(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == NULL) fail(WRONG, "%s cannot be opened", path);
  fseek(file, 0, SEEK_END);
  size_t size = ftell(file);
  rewind(file);
  void* bytes = allocate(size);
  read_bytes(file, bytes, size);
  fclose(file);
  TF_Buffer* buffer = TF_NewBufferFromString(bytes, size);
  free(bytes);
  return buffer;
}

// --- tensors

static int64_t count_elements(const int64_t* dimensions, int rank) {
  int64_t count = 1;
  for (int axis = 0; axis < rank; ++axis) count *= dimensions[axis];
  return count;
}

static TF_Tensor* read_tensor(FILE* file) {
  int32_t type, rank;
  int64_t dimensions[MAX_RANK];
  read_bytes(file, &type, sizeof type);
  read_bytes(file, &rank, sizeof rank);
  if (rank < 0 || rank > MAX_RANK) fail(WRONG, "rank %d", rank);
  read_bytes(file, dimensions, rank * sizeof *dimensions);
  int64_t count = count_elements(dimensions, rank);
  size_t element = type == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(type);
  TF_Tensor* tensor = TF_AllocateTensor(type, dimensions, rank, count * element);
  if (tensor == NULL) fail(WRONG, "no tensor of type %d", type);
  if (type != TF_STRING) {
    read_bytes(file, TF_TensorData(tensor), count * element);
    return tensor;
  }
  TF_TString* strings = TF_TensorData(tensor);
  for (int64_t index = 0; index < count; ++index) {
    uint64_t size;
    char* text = read_text(file, &size);
    TF_TString_Init(&strings[index]);
    TF_TString_Copy(&strings[index], text, size);
    free(text);
  }
  return tensor;
}

static void write_tensor(FILE* file, const TF_Tensor* tensor) {
  int32_t type = TF_TensorType(tensor), rank = TF_NumDims(tensor);
  write_bytes(file, &type, sizeof type);
  write_bytes(file, &rank, sizeof rank);
  for (int axis = 0; axis < rank; ++axis) {
    int64_t size = TF_Dim(tensor, axis);
    write_bytes(file, &size, sizeof size);
  }
  if (type != TF_STRING) {
    write_bytes(file, TF_TensorData(tensor), TF_TensorByteSize(tensor));
    return;
  }
  const TF_TString* strings = TF_TensorData(tensor);
  for (int64_t index = 0; index < TF_TensorElementCount(tensor); ++index) {
    write_text(file, TF_TString_GetDataPointer(&strings[index]),
               TF_TString_GetSize(&strings[index]));
  }
}

// --- requests

// Reads "operation:index" and finds it in the graph.
static TF_Output read_output(FILE* file, TF_Graph* graph) {
  uint64_t size;
  char* name = read_text(file, &size);
  char* colon = strrchr(name, ':');
  if (colon == NULL) fail(WRONG, "no tensor's name: %s", name);
  *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, name), atoi(colon + 1)};
  if (output.oper == NULL) fail(WRONG, "the graph has no operation %s", name);
  free(name);
  return output;
}

static uint32_t read_count(FILE* file) {
  uint32_t count;
  read_bytes(file, &count, sizeof count);
  if (count > MAX_TENSORS) fail(WRONG, "%" PRIu32 " tensors", count);
  return count;
}

// Returns 0 at the end of the file.
static int read_request(FILE* file, TF_Graph* graph, Request* request) {
  int next = fgetc(file);
  if (next == EOF) return 0;
  ungetc(next, file);
  request->num_inputs = read_count(file);
  for (uint32_t index = 0; index < request->num_inputs; ++index) {
    request->inputs[index] = read_output(file, graph);
    request->values[index] = read_tensor(file);
  }
  request->num_outputs = read_count(file);
  for (uint32_t index = 0; index < request->num_outputs; ++index) {
    request->outputs[index] = read_output(file, graph);
  }
  return 1;
}

static void free_tensors(TF_Tensor** tensors, uint32_t count) {
  for (uint32_t index = 0; index < count; ++index) {
    if (tensors[index] != NULL) TF_DeleteTensor(tensors[index]);
  }
}

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void answer(TF_Session* session, Request* request, int number, int repeats, FILE* file) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* results[MAX_TENSORS] = {NULL};
  for (int repeat = 0; repeat < repeats; ++repeat) {
    free_tensors(results, request->num_outputs);
    memset(results, 0, sizeof results);
    double start = microseconds();
    TF_SessionRun(session, NULL, request->inputs, request->values, request->num_inputs,
                  request->outputs, results, request->num_outputs, NULL, 0, NULL, status);
    printf("%d %d %.1f\n", number, repeat, microseconds() - start);
  }
  int32_t code = TF_GetCode(status);
  write_bytes(file, &code, sizeof code);
  if (code != TF_OK) {
    write_text(file, TF_Message(status), strlen(TF_Message(status)));
  } else {
    for (uint32_t i = 0; i < request->num_outputs; ++i) write_tensor(file, results[i]);
  }
  free_tensors(results, request->num_outputs);
  TF_DeleteStatus(status);
}

static TF_Session* load(const char* saved_model, const char* config, TF_Graph* graph) {
  TF_Status* status = TF_NewStatus();
  TF_SessionOptions* options = TF_NewSessionOptions();
  if (config != NULL) {
    TF_Buffer* buffer = read_whole(config);
    TF_SetConfig(options, buffer->data, buffer->length, status);
    check(status, config);
    TF_DeleteBuffer(buffer);
  }
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, saved_model, tags, 1, graph, NULL, status);
  check(status, saved_model);
  TF_DeleteSessionOptions(options);
  TF_DeleteStatus(status);
  return session;
}

int main(int argc, char** argv) {
  int repeats = 1, warmup = 0, compiles = 0, option;
  const char* config = NULL;
  while ((option = getopt(argc, argv, "n:w:c:x")) != -1) {
    if (option == 'n') repeats = atoi(optarg);
    if (option == 'w') warmup = atoi(optarg);
    if (option == 'c') config = optarg;
    if (option == 'x') compiles = 1;
    if (option == '?') return WRONG;
  }
  if (argc - optind < 3 || repeats < 1) {
    fail(WRONG, "c_loader [-n REPEATS] [-w COUNT] [-c CONFIG] [-x] "
                "SAVED_MODEL REQUESTS ANSWERS [OP_LIBRARY...]");
  }
  if (!compiles) _ZN10tensorflow21DisableXlaCompilationEv();
  TF_Status* status = TF_NewStatus();
  for (int index = optind + 3; index < argc; ++index) {
    TF_LoadLibrary(argv[index], status);
    check(status, argv[index]);
  }
  TF_DeleteStatus(status);
  FILE* requests = fopen(argv[optind + 1], "rb");
  FILE* answers = fopen(argv[optind + 2], "wb");
  if (requests == NULL || answers == NULL) fail(WRONG, "a file of requests or answers is missing");
  TF_Graph* graph = TF_NewGraph();
  TF_Session* session = load(argv[optind], config, graph);
  Request request;
  for (int number = 0; read_request(requests, graph, &request); ++number) {
    answer(session, &request, number, number < warmup ? 1 : repeats, answers);
    free_tensors(request.values, request.num_inputs);
  }
  if (fclose(answers) != 0) fail(WRONG, "the answers cannot be written");
  return 0;
}
