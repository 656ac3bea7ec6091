/* SPDX-License-Identifier: Apache-2.0 */
/* utils.h: texts of a vdev's own options, in the notation of the configuration. */
#include "vdev/api.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdev/host.h"

enum { MAX_WORD = 64 };

/* A number of that kind at the beginning of str, as long as can be: what is behind it, or NULL. */
static char *number(const char *str, enum qvmx_option_type type, uint64_t *ret_value)
{
	const struct qvmx_option opt = { .type = type };
	char word[MAX_WORD];
	uint64_t value;
	size_t len = 0;
	int rc;

	while (len < MAX_WORD - 1 && isalnum((unsigned char)str[len]))
		len++;
	memcpy(word, str, len);
	do {
		word[len] = '\0';
		rc = conf_option_value(&opt, word, &value);
	} while (rc == -EINVAL && len && --len);
	if (rc)
		return NULL;
	*ret_value = value;
	return (char *)(uintptr_t)str + len;
}

char *qvm_parse_num(const char *str, uint64_t *ret_value)
{
	return number(str, QVMX_OPT_NUMBER, ret_value);
}

char *qvm_parse_size(const char *str, uint64_t *ret_bytes)
{
	return number(str, QVMX_OPT_SIZE, ret_bytes);
}

char *qvm_parse_addr(const char *str, uint64_t *ret_addr)
{
	return number(str, QVMX_OPT_ADDRESS, ret_addr);
}

/* BUS:DEV[.FUNC], decimal as in `loc`. */
static char *parse_pci(const char *str, uint64_t *ret_location)
{
	uint64_t bus, dev, func = 0;
	char *rest = number(str, QVMX_OPT_NUMBER, &bus);

	if (!rest || *rest != ':')
		return NULL;
	rest = number(rest + 1, QVMX_OPT_NUMBER, &dev);
	if (rest && *rest == '.')
		rest = number(rest + 1, QVMX_OPT_NUMBER, &func);
	if (!rest || bus > 255 || dev > 31 || func > 7)
		return NULL;
	*ret_location = QSL_PCI_MAKE_LOC(bus, dev, func, 0);
	return rest;
}

char *qvm_parse_loc(const char *str, struct qvm_state_block *blk)
{
	static const struct {
		const char *prefix;
		qvm_state_types_t type;
	} spaces[] = { { "mem:", QST_MEMORY }, { "io:", QST_X86_IO }, { "pci:", QST_PCI } };
	qvm_state_types_t type = blk->qst_type;
	uint64_t location;
	char *rest;

	for (unsigned i = 0; i < ARRAY_LEN(spaces); i++) {
		size_t len = strlen(spaces[i].prefix);

		if (strncmp(str, spaces[i].prefix, len) != 0)
			continue;
		type = spaces[i].type;
		str += len;
		break;
	}
	rest = type == QST_PCI ? parse_pci(str, &location)
			       : number(str, QVMX_OPT_ADDRESS, &location);
	if (!rest)
		return NULL;
	blk->qst_type = type;
	blk->location = location;
	return rest;
}

char *qvm_parse_intr(const char *str, guest_intr_t *ip)
{
	const struct vdev_host *host = vdev_host_current();
	const char *colon = strchr(str, ':');
	struct vdev_instance *pic = host && colon ? host->first : NULL;

	while (pic &&
	       !(pic->vdev.v_factory->pic && strlen(pic_name(pic)) == (size_t)(colon - str) &&
		 strncmp(pic_name(pic), str, (size_t)(colon - str)) == 0))
		pic = pic->next;
	if (!pic)
		return NULL;
	const struct vdev_pic_functions *f = pic->vdev.v_factory->pic;
	guest_intr_t intr = { .pic = &pic->vdev };
	const char *rest;
	uint64_t line;

	if (f->parse) {
		rest = f->parse(&intr, colon + 1);
	} else {
		rest = number(colon + 1, QVMX_OPT_NUMBER, &line);
		if (rest && line > f->pnum_mask)
			rest = NULL;
		intr.param = rest ? (unsigned)line : 0;
	}
	if (!rest)
		return NULL;
	intr.pic = &pic->vdev;
	*ip = intr;
	return (char *)(uintptr_t)rest;
}
