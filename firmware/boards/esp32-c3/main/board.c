/* ESP32-C3 under ESP-IDF 5.1 or newer: UART0 (the board's USB bridge), cycle counter, a partition of the serial flash. */
#include "board.h"

#include "driver/uart.h"
#include "esp_cpu.h"
#include "esp_partition.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

enum { RECEIVE_BYTES = 2048, NO_PARTITION = 1, FAILED };

int main(void);
void app_main(void);

void app_main(void) { kg_board_exit(main()); }

void kg_board_init(void) {
  kg_uart_init();
  kg_ticks_init();
}

void kg_uart_init(void) {
  const uart_config_t line = {
      .baud_rate = 115200,
      .data_bits = UART_DATA_8_BITS,
      .parity = UART_PARITY_DISABLE,
      .stop_bits = UART_STOP_BITS_1,
      .flow_ctrl = UART_HW_FLOWCTRL_DISABLE,
      .source_clk = UART_SCLK_DEFAULT,
  };
  (void)uart_driver_install(UART_NUM_0, RECEIVE_BYTES, 0, 0, NULL, 0);
  (void)uart_param_config(UART_NUM_0, &line);
}

/* Waits for one tick of the scheduler when nothing has arrived, so that other tasks run. */
int32_t kg_uart_read(void) {
  uint8_t byte;
  return uart_read_bytes(UART_NUM_0, &byte, 1, 1) == 1 ? byte : -1;
}

void kg_uart_write(const void *data, uint32_t bytes) { (void)uart_write_bytes(UART_NUM_0, data, bytes); }

void kg_ticks_init(void) {}

uint32_t kg_ticks(void) { return (uint32_t)esp_cpu_get_cycle_count(); }

_Noreturn void kg_board_exit(int32_t code) {
  (void)code;
  for (;;) vTaskDelay(portMAX_DELAY);
}

/* ESP-IDF paints the stack of the main task, and counts in bytes. */
uint32_t kg_stack_bytes(void) { return KG_STACK_BYTES; }
uint32_t kg_stack_used(void) { return KG_STACK_BYTES - (uint32_t)uxTaskGetStackHighWaterMark(NULL); }

static const esp_partition_t *area(void) {
  return esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, "kilograd");
}

static int32_t read_bytes(void *context, uint32_t offset, void *data, uint32_t bytes) {
  const esp_partition_t *partition = context;
  if (partition == NULL) return NO_PARTITION;
  return esp_partition_read(partition, offset, data, bytes) == ESP_OK ? 0 : FAILED;
}

static int32_t program(void *context, uint32_t offset, const void *data, uint32_t bytes) {
  const esp_partition_t *partition = context;
  if (partition == NULL) return NO_PARTITION;
  return esp_partition_write(partition, offset, data, bytes) == ESP_OK ? 0 : FAILED;
}

static int32_t erase(void *context, uint32_t sector) {
  const esp_partition_t *partition = context;
  if (partition == NULL) return NO_PARTITION;
  return esp_partition_erase_range(partition, sector * KG_STORE_SECTOR_BYTES, KG_STORE_SECTOR_BYTES) == ESP_OK ? 0 : FAILED;
}

void kg_board_flash(kg_flash *flash) {
  flash->context = (void *)(uintptr_t)area(); /* never written through */
  flash->sector_bytes = KG_STORE_SECTOR_BYTES;
  flash->sectors = KG_STORE_SECTORS + KG_STORE_PLAN_SECTORS;
  flash->program_bytes = KG_STORE_PROGRAM_BYTES;
  flash->read = read_bytes;
  flash->program = program;
  flash->erase = erase;
}
