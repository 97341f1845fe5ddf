// A plan at work, for Python: batch loops run in C with the GIL released.
#include "session.h"

#include <pybind11/functional.h>

#include <algorithm>
#include <cstring>

namespace kgpy {

Memory::Memory(size_t bytes) : storage_(bytes + KG_ALIGNMENT, 0), bytes_(bytes) {
  auto at = reinterpret_cast<uintptr_t>(storage_.data());
  start_ = storage_.data() + (KG_ALIGNMENT - at % KG_ALIGNMENT) % KG_ALIGNMENT;
}

static void require(kg_status status, const char *what) {
  if (status != KG_OK) throw std::runtime_error(std::string(what) + ": " + kg_status_text(status));
}

static std::string failure(const kg_plan &plan, kg_status status) {
  std::string text = kg_status_text(status);
  if (status == KG_BAD_TENSOR) text += " (tensor " + std::to_string(plan.failed_at) + ")";
  if (status == KG_BAD_CALL || status == KG_UNKNOWN_KERNEL) text += " (call " + std::to_string(plan.failed_at) + ")";
  if (status == KG_BAD_PROGRAM) text += " (region or entry " + std::to_string(plan.failed_at) + ")";
  return text;
}

Session::Session(const std::string &file) : file_(file.size()) {
  std::memcpy(file_.data(), file.data(), file.size());
  kg_status status = kg_plan_open(&plan_, file_.data(), file.size());
  if (status != KG_OK) throw std::runtime_error(failure(plan_, status));
  state_ = Memory(plan_.state_bytes);
  arena_ = Memory(plan_.arena_bytes);
  require(kg_session_init(&session_, &plan_, state_.data(), plan_.state_bytes, arena_.data(), plan_.arena_bytes), "session");
  can_train_ = kg_plan_find_entry(&plan_, "train_step", &train_step_) == KG_OK;
  if (kg_plan_find_entry(&plan_, "infer", &infer_) != KG_OK) throw std::runtime_error("the plan has no entry point 'infer'");
  if (kg_plan_input(&plan_, 0, &input_) != KG_OK || kg_plan_output(&plan_, 0, &output_) != KG_OK)
    throw std::runtime_error("the plan has no input or no output");
  has_label_ = kg_plan_label(&plan_, &label_) == KG_OK;
  kg_tensor t;
  for (uint32_t i = 0; kg_plan_boundary(&plan_, i, &t) == KG_OK; ++i) {
    boundary_.push_back(t);
    boundary_bytes_ += t.bytes;
  }
}

void Session::require_idle() const {
  if (!running_) return;
  PyErr_SetString(py::module_::import("kilograd.errors").attr("PlanError").ptr(),
                  "another thread is running this simulator: use one simulator a thread");
  throw py::error_already_set();
}

void Session::reset() {
  require_idle();
  kg_session_reset(&session_);
}

void Session::reset_variables() {
  require_idle();
  kg_session_reset_variables(&session_);
}

void Session::clear_cache() {
  require_idle();
  cache_.clear();
}

kg_tensor Session::find(const std::string &name) const {
  kg_tensor t;
  require_idle();
  if (kg_plan_find_tensor(&plan_, name.c_str(), &t) != KG_OK) throw py::key_error("the plan has no tensor '" + name + "'");
  return t;
}

py::bytes Session::read(const std::string &name) const {
  kg_tensor t = find(name);
  return py::bytes(static_cast<const char *>(kg_tensor_read(&session_, &t)), t.bytes);
}

void Session::write(const std::string &name, const std::string &content) {
  kg_tensor t = find(name);
  void *to = kg_tensor_data(&session_, &t);
  if (!to) throw std::invalid_argument("tensor '" + name + "' is a constant");
  if (content.size() != t.bytes) throw std::invalid_argument("tensor '" + name + "' has " + std::to_string(t.bytes) + " bytes");
  std::memcpy(to, content.data(), t.bytes);
}

void Session::run(const std::string &entry) {
  uint32_t index;
  require(kg_plan_find_entry(&plan_, entry.c_str(), &index), ("entry point '" + entry + "'").c_str());
  require_idle();
  running_ = true;
  Running running(running_);
  py::gil_scoped_release release;
  kg_run(&session_, index);
}

py::bytes Session::memory(bool state) const {
  require_idle();
  const Memory &m = state ? state_ : arena_;
  return py::bytes(reinterpret_cast<const char *>(m.data()), m.size());
}

void Session::restore(bool state, const std::string &content) {
  require_idle();
  Memory &m = state ? state_ : arena_;
  if (content.size() != m.size())
    throw std::invalid_argument("a snapshot of this plan has " + std::to_string(m.size()) + " bytes");
  std::memcpy(m.data(), content.data(), m.size());
}

// 128 bits that name the content of an input.
static Session::Key content_key(const uint8_t *p, size_t n) {
  uint64_t a = 0x9E3779B97F4A7C15ull ^ n, b = 0xC2B2AE3D27D4EB4Full + n;
  while (n > 0) {
    uint64_t w = 0;
    size_t k = std::min<size_t>(n, 8);
    std::memcpy(&w, p, k);
    a = (a ^ w) * 0xFF51AFD7ED558CCDull;
    a ^= a >> 32;
    b = (b + w) * 0xC4CEB9FE1A85EC53ull;
    b ^= b >> 29;
    p += k;
    n -= k;
  }
  return {a, b};
}

// Input in place and everything frozen computed: by running it, or from the cache.
void Session::run_entry(uint32_t entry, const uint8_t *x, bool cached) {
  std::memcpy(kg_tensor_data(&session_, &input_), x, input_.bytes);
  if (fresh_) kg_session_reset_variables(&session_);
  if (!cached || boundary_.empty()) {
    kg_run(&session_, entry);
    return;
  }
  const Key key = content_key(x, input_.bytes);
  auto found = cache_.find(key);
  if (found == cache_.end()) {
    kg_run_only(&session_, entry, "frozen");
    if ((cache_.size() + 1) * (boundary_bytes_ + 64) > cache_limit_) {
      run_after_frozen(entry);
      return;
    }
    std::vector<uint8_t> content(boundary_bytes_);
    uint8_t *to = content.data();
    for (const kg_tensor &t : boundary_) {
      std::memcpy(to, kg_tensor_read(&session_, &t), t.bytes);
      to += t.bytes;
    }
    cache_.emplace(key, std::move(content));
  } else {
    const uint8_t *from = found->second.data();
    for (const kg_tensor &t : boundary_) {
      std::memcpy(kg_tensor_data(&session_, &t), from, t.bytes);
      from += t.bytes;
    }
  }
  run_after_frozen(entry);
}

void Session::run_after_frozen(uint32_t entry) { kg_run_without(&session_, entry, "frozen"); }

void Session::check_samples(const Bytes2 &x, const Order &order) const {
  if (x.ndim() != 2 || x.shape(1) != static_cast<py::ssize_t>(input_.bytes))
    throw std::invalid_argument("samples must be rows of " + std::to_string(input_.bytes) + " bytes");
  const int64_t *at = order.data();
  for (py::ssize_t i = 0; i < order.size(); ++i)
    if (at[i] < 0 || at[i] >= x.shape(0)) throw std::out_of_range("sample index " + std::to_string(at[i]) + " is out of range");
}

template <typename Body> void Session::loop(const Order &order, py::ssize_t every, const py::object &progress, Body body) {
  const int64_t *at = order.data();
  const py::ssize_t n = order.size();
  if (every < 1) every = 1;
  for (py::ssize_t first = 0; first < n; first += every) {
    const py::ssize_t end = std::min(n, first + every);
    require_idle();
    running_ = true;
    {
      Running running(running_);
      py::gil_scoped_release release;
      for (py::ssize_t i = first; i < end; ++i) body(i, at[i]);
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!progress.is_none()) progress(end, n);
  }
}

py::tuple Session::train(const Bytes2 &x, const Bytes2 &y, const Order &order, bool cached, py::ssize_t every,
                         const py::object &progress) {
  if (!can_train_ || !has_label_) throw std::runtime_error("this plan cannot train");
  check_samples(x, order);
  if (y.ndim() != 2 || y.shape(0) != x.shape(0) || y.shape(1) != static_cast<py::ssize_t>(label_.bytes))
    throw std::invalid_argument("labels must be one row of " + std::to_string(label_.bytes) + " bytes a sample");
  py::array_t<int32_t> loss(order.size()), predicted(order.size()), skipped(order.size());
  int32_t *l = loss.mutable_data(), *p = predicted.mutable_data(), *s = skipped.mutable_data();
  const uint8_t *xs = x.data(), *ys = y.data();
  loop(order, every, progress, [&](py::ssize_t i, int64_t sample) {
    std::memcpy(kg_tensor_data(&session_, &label_), ys + static_cast<size_t>(sample) * label_.bytes, label_.bytes);
    run_entry(train_step_, xs + static_cast<size_t>(sample) * input_.bytes, cached);
    kg_step_result r{0, -1, 0};
    kg_last_step(&session_, &r);
    l[i] = r.loss;
    p[i] = r.predicted;
    s[i] = r.skipped;
  });
  return py::make_tuple(loss, predicted, skipped);
}

py::array_t<uint8_t> Session::infer(const Bytes2 &x, const Order &order, bool cached, py::ssize_t every,
                                    const py::object &progress) {
  check_samples(x, order);
  py::array_t<uint8_t> y({order.size(), static_cast<py::ssize_t>(output_.bytes)});
  uint8_t *to = y.mutable_data();
  const uint8_t *xs = x.data();
  loop(order, every, progress, [&](py::ssize_t i, int64_t sample) {
    run_entry(infer_, xs + static_cast<size_t>(sample) * input_.bytes, cached);
    std::memcpy(to + static_cast<size_t>(i) * output_.bytes, kg_tensor_read(&session_, &output_), output_.bytes);
  });
  return y;
}

void bind_session(py::module_ &m) {
  using namespace pybind11::literals;
  py::class_<Session>(m, "Session", "A verified plan file with its state and arena.")
      .def(py::init<const std::string &>(), "file"_a)
      .def("read", &Session::read, "name"_a, "Bytes of a tensor.")
      .def("write", &Session::write, "name"_a, "content"_a, "Set the bytes of a tensor that is no constant.")
      .def("run", &Session::run, "entry"_a, "Run an entry point.")
      .def("reset", &Session::reset, "Back to factory state.")
      .def("reset_variables", &Session::reset_variables, "The model's variables as they were at first; what was learned stays.")
      .def("memory", &Session::memory, "state"_a, "Snapshot of the state (True) or the arena (False).")
      .def("restore", &Session::restore, "state"_a, "content"_a, "Put a snapshot back.")
      .def("clear_cache", &Session::clear_cache, "Forget what the frozen part gave for samples seen.")
      .def_property_readonly("cached", &Session::cached, "Samples in the cache.")
      .def_property("fresh", &Session::fresh, &Session::set_fresh, "Every sample of a loop begins a new stream.")
      .def_property("cache_limit", &Session::cache_limit, &Session::set_cache_limit, "Most bytes that the cache takes.")
      .def("train", &Session::train, "x"_a, "y"_a, "order"_a, "cached"_a, "every"_a, "progress"_a,
           "Train on rows of x in the given order: (losses Q16, predictions, skipped), one each.")
      .def("infer", &Session::infer, "x"_a, "order"_a, "cached"_a, "every"_a, "progress"_a,
           "Bytes of the first output for rows of x in the given order.");
}

} // namespace kgpy
