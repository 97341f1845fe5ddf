// Views of NumPy byte buffers as the runtime wants them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace kgpy {

namespace py = pybind11;
using Bytes = py::array_t<uint8_t, py::array::c_style>;

constexpr size_t kAlign = 16;

// Start of a one-dimensional uint8 array, which must be aligned as segments are.
inline uint8_t *aligned(const Bytes &a, const char *what, bool writable) {
  auto *p = const_cast<uint8_t *>(a.data());
  if (a.ndim() != 1) throw std::invalid_argument(std::string(what) + " must be a one-dimensional uint8 array");
  if (reinterpret_cast<uintptr_t>(p) % kAlign != 0)
    throw std::invalid_argument(std::string(what) + " must be aligned to 16 bytes");
  if (writable && !a.writeable()) throw std::invalid_argument(std::string(what) + " must be writable");
  return p;
}

} // namespace kgpy
