// kilograd._core: the C kernels and the runtime for Python.
#include <cstring>
#include <vector>

#include "buffers.h"
#include "kernel_call.h"
#include "session.h"

namespace kgpy {

struct KernelInfo {
  const char *name;
  uint32_t id, args_bytes;
};

static py::dict kernels() {
  py::dict result;
  KernelInfo k;
  for (uint32_t i = 0; kgpy_kernel(i, &k.name, &k.id, &k.args_bytes); ++i)
    result[py::str(k.name)] = py::make_tuple(k.id, k.args_bytes);
  return result;
}

// Check and run one kernel on the given segments, changed in place.
static void call(const std::string &name, const std::string &args, const Bytes &constant, const Bytes &state,
                 const Bytes &arena) {
  KernelInfo k;
  uint32_t index = 0;
  while (kgpy_kernel(index, &k.name, &k.id, &k.args_bytes) && name != k.name) ++index;
  if (!kgpy_kernel(index, &k.name, &k.id, &k.args_bytes)) throw std::runtime_error("this build has no kernel '" + name + "'");
  if (args.size() != k.args_bytes)
    throw std::runtime_error("kernel '" + name + "' takes " + std::to_string(k.args_bytes) + " bytes of arguments, given are " +
                             std::to_string(args.size()));
  std::vector<uint32_t> words(args.size() / 4 + 1);
  std::memcpy(words.data(), args.data(), args.size());
  kgpy_segments segments = {aligned(constant, "constant", false), aligned(state, "state", true),
                            aligned(arena, "arena", true),        static_cast<uint32_t>(constant.size()),
                            static_cast<uint32_t>(state.size()),  static_cast<uint32_t>(arena.size())};
  int32_t ok;
  {
    py::gil_scoped_release release;
    ok = kgpy_call(index, words.data(), &segments);
  }
  if (!ok) throw std::runtime_error("the arguments of kernel '" + name + "' do not pass its check");
}

} // namespace kgpy

PYBIND11_MODULE(_core, m) {
  using namespace pybind11::literals;
  m.doc() = "C kernels and runtime of kilograd";
  m.def("kernels", &kgpy::kernels, "Kernels of this build: name -> (id, bytes of its argument struct).");
  m.def("call", &kgpy::call, "name"_a, "args"_a, "constant"_a, "state"_a, "arena"_a,
        "Check one argument struct and run the kernel on three uint8 segments (changed in place).");
  kgpy::bind_session(m);
}
