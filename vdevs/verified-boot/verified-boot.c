/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev verified-boot: a boot vdev. When the guest's memory holds everything and no vCPU has run, it
 * compares each loaded file with the SHA-256 digest that the configuration has for it, and refuses
 * to start a guest of which anything differs. Then it patches memory and registers of the boot vCPU
 * as it was told to.
 */
#include "verified-boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
#include <qvm/x/load.h>

#define MAX_DIGESTS   256u
#define MAX_PATCHES   256u /* of memory and of registers together */
#define MAX_PATCH_LEN 64u
#define HEX_DIGITS    (2 * DIGEST_LEN)

struct digest {
	const char *path; /* lasts: the configuration's text */
	uint8_t value[DIGEST_LEN];
	bool used;
};

struct patch {
	struct qvm_state_block where;
	uint8_t bytes[MAX_PATCH_LEN];
};

struct verified {
	struct digest *digests;
	struct patch *patches;
	unsigned num_digests, num_patches;
};

enum { OPT_DIGEST, OPT_PATCH, OPT_REGISTER };

static const struct qvmx_option options[] = {
	[OPT_DIGEST] = { .name = "digest",
			 .type = QVMX_OPT_STRING,
			 .flags = QVMX_OPTF_REPEAT | QVMX_OPTF_REQUIRED,
			 .help = "SHA256,FILE: what the file of a `load` must have, 64 digits" },
	[OPT_PATCH] = { .name = "patch",
			.type = QVMX_OPT_STRING,
			.flags = QVMX_OPTF_REPEAT,
			.help = "ADDRESS,BYTES: write these hexadecimal bytes before the start" },
	[OPT_REGISTER] = { .name = "register",
			   .type = QVMX_OPT_STRING,
			   .flags = QVMX_OPTF_REPEAT,
			   .help = "NAME,VALUE: set a register of the boot vCPU" },
};

/* An address that stands before a comma, as the language reads one. */
static const struct qvmx_option address = { .name = "address", .type = QVMX_OPT_ADDRESS };

static int option_digest(vdev_t *vdp, const char *arg)
{
	struct verified *v = vdp->v_device;
	struct digest *more, d = { .path = NULL };
	const char *comma = strchr(arg, ',');
	char digits[HEX_DIGITS + 1] = "";

	if (comma && comma - arg == HEX_DIGITS)
		memcpy(digits, arg, HEX_DIGITS);
	if (hex_parse(digits, d.value, DIGEST_LEN) != DIGEST_LEN || !comma[1])
		return qvmx_refuse(vdp, "digest '%s' is not SHA256,FILE with %u hexadecimal digits",
				   arg, HEX_DIGITS);
	d.path = comma + 1;
	for (unsigned i = 0; i < v->num_digests; i++)
		if (strcmp(v->digests[i].path, d.path) == 0)
			return qvmx_refuse(vdp, "there is a digest of '%s' already", d.path);
	if (v->num_digests == MAX_DIGESTS)
		return qvmx_refuse(vdp, "more than %u digests", MAX_DIGESTS);
	more = realloc(v->digests, (v->num_digests + 1) * sizeof(*more));
	if (!more)
		return ENOMEM;
	v->digests = more;
	more[v->num_digests++] = d;
	return EOK;
}

static int patch_add(vdev_t *vdp, const struct patch *patch)
{
	struct verified *v = vdp->v_device;
	struct patch *more;

	if (v->num_patches == MAX_PATCHES)
		return qvmx_refuse(vdp, "more than %u patches", MAX_PATCHES);
	more = realloc(v->patches, (v->num_patches + 1) * sizeof(*more));
	if (!more)
		return ENOMEM;
	v->patches = more;
	more[v->num_patches++] = *patch;
	return EOK;
}

static int option_patch(vdev_t *vdp, const char *arg)
{
	struct patch patch = { .where = { .qst_type = QST_MEMORY } };
	const char *comma = strchr(arg, ',');
	char text[32] = "";
	int n = -1;

	if (comma && comma != arg && (size_t)(comma - arg) < sizeof(text)) {
		memcpy(text, arg, (size_t)(comma - arg));
		n = hex_parse(comma + 1, patch.bytes, MAX_PATCH_LEN);
	}
	if (n <= 0 || qvmx_option_parse(&address, text, &patch.where.location) != EOK)
		return qvmx_refuse(vdp,
				   "patch '%s' is not ADDRESS,BYTES with 1 to %u bytes of two "
				   "hexadecimal digits",
				   arg, MAX_PATCH_LEN);
	patch.where.length = (uint64_t)n;
	return patch_add(vdp, &patch);
}

static int option_register(vdev_t *vdp, const char *arg)
{
	struct patch patch = { .where = { .qst_type = QST_CPUREGS, .length = sizeof(uint64_t) } };
	const char *comma = strchr(arg, ',');
	uint64_t value;

	for (const struct boot_register *r = boot_registers; comma && r->name[0]; r++) {
		size_t len = strlen(r->name);

		if ((size_t)(comma - arg) != len || strncmp(arg, r->name, len) != 0)
			continue;
		if (qvmx_option_parse(&address, comma + 1, &value) != EOK)
			break;
		patch.where.location = r->offset;
		memcpy(patch.bytes, &value, sizeof(value));
		return patch_add(vdp, &patch);
	}
	return qvmx_refuse(vdp,
			   "register '%s' is not NAME,VALUE with a name such as %s and a "
			   "hexadecimal value",
			   arg, boot_registers[0].name);
}

static struct digest *digest_of(struct verified *v, const char *path)
{
	for (unsigned i = 0; i < v->num_digests; i++)
		if (strcmp(v->digests[i].path, path) == 0)
			return &v->digests[i];
	return NULL;
}

static int verify_load(vdev_t *vdp, struct guest_cpu *gcp, const struct qvmx_load *load)
{
	struct digest *d = digest_of(vdp->v_device, load->path);

	if (!d)
		return qvmx_refuse(vdp,
				   "'%s' is loaded and has no digest: the guest does not start",
				   load->path);
	d->used = true;
	switch (verify_file(vdp, gcp, load->path, load->line, d->value)) {
	case VERIFY_GOOD:
		vdev_logf(QL_QVM_INFO, vdp, "'%s' has the right digest", load->path);
		return EOK;
	case VERIFY_UNREADABLE:
		return qvmx_refuse(vdp, "'%s' cannot be read: %s: the guest does not start",
				   load->path, strerror(errno));
	case VERIFY_DIGEST:
		return qvmx_refuse(vdp, "'%s' has another SHA-256 digest: the guest does not start",
				   load->path);
	case VERIFY_NOWHERE:
		return qvmx_refuse(vdp,
				   "no byte of '%s' lies in the guest's memory as it is in the "
				   "file, which a compressed kernel explains: unpack it; the guest "
				   "does not start",
				   load->path);
	default:
		return qvmx_refuse(vdp,
				   "the guest's memory does not hold what is in '%s': the "
				   "guest does not start",
				   load->path);
	}
}

static int verify_all(vdev_t *vdp, struct guest_cpu *gcp)
{
	struct verified *v = vdp->v_device;
	struct qvmx_load load;
	unsigned last = 0;
	int rc = EOK;

	for (unsigned i = 0; qvmx_load_piece(vdp, i, &load) == EOK; i++) {
		if (i && load.line == last)
			continue;
		last = load.line;
		if (verify_load(vdp, gcp, &load) != EOK)
			rc = EINVAL;
	}
	for (unsigned i = 0; i < v->num_digests; i++)
		if (!v->digests[i].used)
			rc = qvmx_refuse(vdp,
					 "'%s' has a digest and is not loaded: the guest does "
					 "not start",
					 v->digests[i].path);
	return rc;
}

static int apply_patches(vdev_t *vdp, struct guest_cpu *gcp)
{
	const struct verified *v = vdp->v_device;

	for (unsigned i = 0; i < v->num_patches; i++) {
		const struct patch *p = &v->patches[i];
		int rc = guest_cpu_write(gcp, GXF_NONE, &p->where, 1, p->bytes, p->where.length);

		if (rc == EFAULT)
			return qvmx_refuse(vdp,
					   "a patch of %llu bytes at 0x%llx is not in the guest's "
					   "RAM",
					   (unsigned long long)p->where.length,
					   (unsigned long long)p->where.location);
		if (rc != EOK)
			return qvmx_refuse(vdp, "the boot vCPU does not take a register: %s",
					   strerror(rc == -1 ? EINVAL : rc));
	}
	return EOK;
}

static int verified_control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct verified *v = vdp->v_device;
	struct guest_cpu *boot = (struct guest_cpu *)(uintptr_t)arg;
	int rc;

	switch ((unsigned)ctrl) {
	case VDEV_CTRL_FIRST_OPTIDX + OPT_DIGEST:
		return option_digest(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_PATCH:
		return option_patch(vdp, arg);
	case VDEV_CTRL_FIRST_OPTIDX + OPT_REGISTER:
		return option_register(vdp, arg);
	case VDEV_CTRL_GUEST_STARTING:
		rc = verify_all(vdp, boot);
		return rc == EOK ? apply_patches(vdp, boot) : rc;
	case VDEV_CTRL_TERMINATE:
		free(v->digests);
		free(v->patches);
		*v = (struct verified){ 0 };
		return EOK;
	default:
		return EOK;
	}
}

static struct vdev_factory factory = {
	.control = verified_control,
	.factory_flags = VFF_LOC_NO | VFF_INTR_NO,
	.extra_space = sizeof(struct verified),
};

static const struct qvmx_vdev_info info = {
	.size = sizeof(info),
	.num_options = sizeof(options) / sizeof(options[0]),
	.summary = "starts a guest only if its files have the right digests",
	.options = options,
};

static void __attribute__((constructor)) verified_register(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
