/* SPDX-License-Identifier: Apache-2.0 */
/* `acpi load FILE`: reading the user's tables while the VM is planned. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/vm.h"

/* The whole of a regular file of at most ACPI_MAX_EXTRA_LEN bytes. -EFBIG: it is larger; -EINVAL:
 * no regular file. */
static int table_read(const char *path, uint8_t **ret_data, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *data = NULL;
	size_t len = 0;
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	else if (st.st_size > ACPI_MAX_EXTRA_LEN)
		rc = -EFBIG;
	else if (!(data = malloc((size_t)st.st_size + 1)))
		rc = -ENOMEM;
	while (!rc && len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		if (n == 0)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (rc) {
		free(data);
		return rc;
	}
	*ret_data = data;
	*ret_len = len;
	return 0;
}

static int table_take(struct vm *vm, const struct conf_load *load)
{
	struct acpi_extra *extra = &vm->acpi_extra[vm->num_acpi_extra];
	const char *why = NULL;
	uint8_t *data = NULL;
	size_t len = 0;
	int rc = table_read(load->path.text, &data, &len);

	if (rc == -ENOMEM)
		return rc;
	if (rc == -EFBIG)
		why = "it is larger than 1 MiB";
	else if (rc == -EINVAL)
		why = "it is no regular file";
	else if (rc)
		why = strerror(-rc);
	if (!rc && !acpi_extra_check(data, len, &why)) {
		*extra = (struct acpi_extra){ .data = data, .len = len };
		vm->num_acpi_extra++;
		return 0;
	}
	if (!rc)
		free(data);
	conf_error(vm->conf, &load->path.pos, "'%s' cannot be an ACPI table of the guest: %s",
		   load->path.text, why);
	if (!rc)
		conf_expected(vm->conf, "one table with its header, as 'iasl' writes it (*.aml)");
	return 0;
}

int vm_tables_read(struct vm *vm)
{
	const struct conf_set *dump = conf_set_find(vm->conf, "fdt-dump-file", -1);
	int rc = 0;

	if (dump)
		conf_warning(vm->conf, &dump->var.pos,
			     "'fdt-dump-file' has no effect: a guest of x86-64 has no device tree");
	for (unsigned i = 0; i < vm->conf->num_loads && !rc; i++) {
		const struct conf_load *load = &vm->conf->loads[i];

		if (load->blob == CONF_BLOB_FDT)
			conf_error(vm->conf, &load->pos,
				   "a guest of x86-64 has ACPI tables and no device tree");
		if (load->blob != CONF_BLOB_ACPI)
			continue;
		if (vm->num_acpi_extra == ACPI_MAX_EXTRA) {
			conf_error(vm->conf, &load->pos, "more than %d ACPI tables of the user",
				   ACPI_MAX_EXTRA);
			break;
		}
		rc = table_take(vm, load);
	}
	return rc;
}

void vm_tables_free(struct vm *vm)
{
	while (vm->num_acpi_extra)
		free((void *)vm->acpi_extra[--vm->num_acpi_extra].data);
}
