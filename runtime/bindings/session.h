// kilograd._core.Session.
#pragma once

#include <array>
#include <atomic>
#include <string>
#include <unordered_map>
#include <vector>

#include "buffers.h"
#include "kilograd/kilograd.h"

namespace kgpy {

using Bytes2 = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;
using Order = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;

// Bytes that start at a multiple of KG_ALIGNMENT. Moving keeps the place (the vector's buffer moves along);
// copying would not.
class Memory {
public:
  explicit Memory(size_t bytes = 0);
  Memory(Memory &&) = default;
  Memory &operator=(Memory &&) = default;
  uint8_t *data() const { return start_; }
  size_t size() const { return bytes_; }

private:
  std::vector<uint8_t> storage_;
  uint8_t *start_;
  size_t bytes_;
};

class Session {
public:
  using Key = std::array<uint64_t, 2>;

  explicit Session(const std::string &file);
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  py::bytes read(const std::string &name) const;
  void write(const std::string &name, const std::string &content);
  void run(const std::string &entry);
  void reset();
  void reset_variables();
  py::bytes memory(bool state) const;
  void restore(bool state, const std::string &content);
  void clear_cache();
  bool fresh() const { return fresh_; }
  void set_fresh(bool fresh) { fresh_ = fresh; }
  size_t cached() const { return cache_.size(); }
  size_t cache_limit() const { return cache_limit_; }
  void set_cache_limit(size_t bytes) { cache_limit_ = bytes; }
  py::tuple train(const Bytes2 &x, const Bytes2 &y, const Order &order, bool cached, py::ssize_t every,
                  const py::object &progress);
  py::array_t<uint8_t> infer(const Bytes2 &x, const Order &order, bool cached, py::ssize_t every, const py::object &progress);

private:
  struct KeyHash {
    size_t operator()(const Key &k) const { return static_cast<size_t>(k[0] ^ k[1]); }
  };

  // Held while kernels run without the GIL: no other thread may touch the memory then.
  class Running {
  public:
    explicit Running(std::atomic<bool> &flag) : flag_(flag) {}
    ~Running() { flag_ = false; }

  private:
    std::atomic<bool> &flag_;
  };

  void require_idle() const;
  kg_tensor find(const std::string &name) const;
  void run_entry(uint32_t entry, const uint8_t *x, bool cached);
  void run_after_frozen(uint32_t entry);
  void check_samples(const Bytes2 &x, const Order &order) const;
  template <typename Body> void loop(const Order &order, py::ssize_t every, const py::object &progress, Body body);

  std::atomic<bool> running_{false};
  Memory file_, state_, arena_;
  kg_plan plan_{};
  kg_session session_{};
  kg_tensor input_{}, output_{}, label_{};
  uint32_t infer_ = 0, train_step_ = 0;
  bool can_train_ = false, has_label_ = false, fresh_ = false;
  std::vector<kg_tensor> boundary_;
  size_t boundary_bytes_ = 0;
  size_t cache_limit_ = size_t{1} << 30;
  std::unordered_map<Key, std::vector<uint8_t>, KeyHash> cache_;
};

void bind_session(py::module_ &m);

} // namespace kgpy
