/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <string.h>

#include "engine/kvm/kvm.h"

void kvm_note_add(struct strbuf *out, const char *name, uint32_t type, const void *data, size_t len)
{
	static const char zeros[4];
	size_t name_len = strlen(name) + 1;
	Elf64_Nhdr head = { .n_namesz = (uint32_t)name_len,
			    .n_descsz = (uint32_t)len,
			    .n_type = type };

	strbuf_add(out, &head, sizeof(head));
	strbuf_add(out, name, name_len);
	strbuf_add(out, zeros, -name_len % 4);
	strbuf_add(out, data, len);
	strbuf_add(out, zeros, -len % 4);
}
