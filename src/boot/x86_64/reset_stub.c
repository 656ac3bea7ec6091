/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/x86_64/reset_stub.h"

#include <string.h>

void reset_stub_write(uint16_t port, uint8_t value, uint8_t ret_code[RESET_STUB_LEN])
{
	const uint8_t code[] = {
		0xba, (uint8_t)port, (uint8_t)(port >> 8), /* mov dx, port */
		0xb0, value,				   /* mov al, value */
		0xee,					   /* out dx, al */
		0xfa,					   /* cli */
		0xf4,					   /* hlt */
		0xeb, 0xfd, /* jmp to hlt, which a non-maskable interrupt ends */
	};

	memset(ret_code, 0, RESET_STUB_LEN);
	memcpy(ret_code, code, sizeof(code));
}
