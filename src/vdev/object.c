/* SPDX-License-Identifier: Apache-2.0 */
#include "vdev/object.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

enum { MAX_SEGMENTS = 64 };

static bool read_at(int fd, void *data, size_t len, uint64_t offset)
{
	return pread(fd, data, len, (off_t)offset) == (ssize_t)len;
}

static bool is_elf(const Elf64_Ehdr *e)
{
	return memcmp(e->e_ident, ELFMAG, SELFMAG) == 0;
}

/* Built for the processor that this program is built for? */
static bool same_machine(const Elf64_Ehdr *e)
{
	Elf64_Ehdr own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && read_at(fd, &own, sizeof(own), 0);

	if (fd >= 0)
		close(fd);
	return !known ||
	       (e->e_machine == own.e_machine && memcmp(e->e_ident, own.e_ident, EI_VERSION) == 0);
}

static const char *segments_refusal(int fd, const Elf64_Ehdr *e, uint64_t size)
{
	static const char cut[] = "it is cut short: its segments end behind the file";
	Elf64_Phdr p;

	if (e->e_phentsize != sizeof(p) || e->e_phnum > MAX_SEGMENTS)
		return "its list of segments makes no sense";
	for (unsigned i = 0; i < e->e_phnum; i++) {
		uint64_t at = i * sizeof(p);

		if (!range_inside(e->e_phoff, at + sizeof(p), 0, size) ||
		    !read_at(fd, &p, sizeof(p), e->e_phoff + at))
			return cut;
		if (p.p_type == PT_LOAD && !range_inside(p.p_offset, p.p_filesz, 0, size))
			return cut;
	}
	return NULL;
}

const char *object_refusal(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct stat st;
	Elf64_Ehdr e;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		why = "it is no file";
	else if (!read_at(fd, &e, sizeof(e), 0) || !is_elf(&e))
		why = "it is no shared object (no ELF header)";
	else if (!same_machine(&e))
		why = "it was built for another kind of machine";
	else if (e.e_type != ET_DYN)
		why = "it is no shared object (link it with -shared)";
	else
		why = segments_refusal(fd, &e, (uint64_t)st.st_size);
	close(fd);
	return why;
}
