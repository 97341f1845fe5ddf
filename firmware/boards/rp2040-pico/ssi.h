/* The serial flash as memory, the slow way that every chip knows: one data line, command 03h, 24 address bits, 32 data bits an access
 * (RP2040 datasheet, 4.10 SSI). At a quarter of 125 MHz, well below what 03h allows. */
#ifndef KG_RP2040_SSI_H
#define KG_RP2040_SSI_H

#define SSI_BASE 0x18000000
#define SSI_CTRLR0 0x00
#define SSI_CTRLR1 0x04
#define SSI_SSIENR 0x08
#define SSI_BAUDR 0x14
#define SSI_SPI_CTRLR0 0xF4

#define SSI_DIVIDER 4
#define SSI_FRAMES_32_READ 0x001F0300     /* CTRLR0: 32 bits a frame, mode "EEPROM read", one line */
#define SSI_READ_03_ADDRESS_24 0x03000218 /* SPI_CTRLR0: command 03h of 8 bits, address of 6 times 4 bits, both on one line */

#endif
