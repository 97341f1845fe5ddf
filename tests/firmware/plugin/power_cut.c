/* QEMU plugin: the power fails right after the N-th store into a window of memory.
 *
 *     -plugin power_cut.so,from=0x21000000,bytes=4096,cut=17,count=stores.txt
 *
 * Leaves with code 77 at the cut. With cut=0 it only counts, and writes how many stores there were into the file. QEMU's plugin
 * interface is declared here, as far as it is used: distributions ship no header. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum { NO_REGISTERS = 0, STORES = 2 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *instruction,
                                      void (*callback)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *), int registers,
                                      int access, void *data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t, void *), void *data);

extern int qemu_plugin_version;
int qemu_plugin_version = 1;
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv);

static uint64_t from, bytes, cut, stores;
static const char *count_file;

static void stored(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)cpu, (void)data;
  if (address - from >= bytes || !qemu_plugin_mem_is_store(info)) return; /* QEMU 7.2 calls for loads, too */
  if (++stores == cut) _exit(77);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i)
    qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, i), stored, NO_REGISTERS, STORES, NULL);
}

static void ended(qemu_plugin_id_t id, void *data) {
  (void)id, (void)data;
  FILE *f = count_file != NULL ? fopen(count_file, "w") : NULL;
  if (f == NULL) return;
  fprintf(f, "%llu\n", (unsigned long long)stores);
  fclose(f);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "from=", 5) == 0) from = strtoull(argv[i] + 5, NULL, 0);
    if (strncmp(argv[i], "bytes=", 6) == 0) bytes = strtoull(argv[i] + 6, NULL, 0);
    if (strncmp(argv[i], "cut=", 4) == 0) cut = strtoull(argv[i] + 4, NULL, 0);
    if (strncmp(argv[i], "count=", 6) == 0) count_file = argv[i] + 6;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
