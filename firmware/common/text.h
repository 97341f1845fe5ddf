/* Words and numbers on the serial line, for the bench and for faults; no stdio. */
#ifndef KG_TEXT_H
#define KG_TEXT_H

#include <stdint.h>

void kg_text(const char *text);
void kg_number(uint32_t value);
void kg_hex(uint32_t value); /* eight digits */

#endif
