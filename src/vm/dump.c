/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vcpu_state.h"

enum { DUMP_PAGE = 4096, DUMP_CHUNK = 256 << 10 };

extern char **environ;

struct dump_out {
	const struct dump_job *job;
	int fd;
	bool file; /* may have holes */
	off_t at;
};

static int dump_wait_room(const struct dump_out *out)
{
	enum { STEP_MS = 200 };

	for (int ms = 0; ms < DUMP_STALL_S * 1000; ms += STEP_MS) {
		struct pollfd fd = { .fd = out->fd, .events = POLLOUT };

		if (out->job->must_end(out->job->ctx))
			return -ECANCELED;
		if (poll(&fd, 1, STEP_MS) > 0)
			return 0;
	}
	return -ETIMEDOUT;
}

static int dump_bytes(struct dump_out *out, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len) {
		ssize_t n = write(out->fd, from, len);

		if (n < 0 && errno == EAGAIN) {
			int rc = dump_wait_room(out);

			if (rc)
				return rc;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		from += n;
		len -= (size_t)n;
		out->at += n;
	}
	return 0;
}

static int dump_skip(struct dump_out *out, size_t len)
{
	static const uint8_t zeros[DUMP_PAGE];

	if (out->file) {
		out->at = lseek(out->fd, (off_t)len, SEEK_CUR);
		return out->at < 0 ? -errno : 0;
	}
	while (len) {
		size_t n = MIN(len, sizeof(zeros));
		int rc = dump_bytes(out, zeros, n);

		if (rc)
			return rc;
		len -= n;
	}
	return 0;
}

static bool dump_is_zero(const uint8_t *page)
{
	return !page[0] && memcmp(page, page + 1, DUMP_PAGE - 1) == 0;
}

/* Runs of pages of one kind go out in one piece. */
static int dump_region(struct dump_out *out, const uint8_t *base, uint64_t len)
{
	for (uint64_t at = 0; at < len;) {
		bool zero = dump_is_zero(base + at);
		uint64_t end = at + DUMP_PAGE;
		int rc;

		while (end < len && end - at < DUMP_CHUNK && dump_is_zero(base + end) == zero)
			end += DUMP_PAGE;
		if (out->job->must_end(out->job->ctx))
			return -ECANCELED;
		rc = zero ? dump_skip(out, end - at) : dump_bytes(out, base + at, end - at);
		if (rc)
			return rc;
		at = end;
	}
	return 0;
}

static int dump_headers(struct dump_out *out)
{
	const struct memory *mem = out->job->mem;
	const size_t num = 1 + mem->num_regions, notes = out->job->notes->len;
	const uint64_t notes_at = sizeof(Elf64_Ehdr) + num * sizeof(Elf64_Phdr);
	uint64_t at = align_up(notes_at + notes, DUMP_PAGE);
	Elf64_Phdr heads[1 + MEMORY_MAX_REGIONS] = { {
		.p_type = PT_NOTE,
		.p_offset = notes_at,
		.p_filesz = notes,
		.p_align = 4,
	} };
	const Elf64_Ehdr file = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = ENGINE_ELF_MACHINE,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(file),
		.e_ehsize = sizeof(file),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)num,
	};
	int rc;

	for (unsigned i = 0; i < mem->num_regions; i++) {
		const struct memory_region *r = &mem->regions[i];

		heads[1 + i] = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_flags = PF_R | PF_X | (r->rom ? 0u : PF_W),
			.p_offset = at,
			.p_vaddr = r->gpa,
			.p_paddr = r->gpa,
			.p_filesz = r->len,
			.p_memsz = r->len,
			.p_align = DUMP_PAGE,
		};
		at += r->len;
	}
	rc = dump_bytes(out, &file, sizeof(file));
	if (!rc)
		rc = dump_bytes(out, heads, num * sizeof(heads[0]));
	if (!rc)
		rc = dump_bytes(out, out->job->notes->data, notes);
	if (!rc)
		rc = dump_skip(out, -(notes_at + notes) % DUMP_PAGE);
	return rc;
}

static int dump_all(struct dump_out *out)
{
	const struct memory *mem = out->job->mem;
	int rc = dump_headers(out);

	for (unsigned i = 0; i < mem->num_regions && !rc; i++)
		rc = dump_region(
			out, memory_translate(mem, mem->regions[i].gpa, mem->regions[i].len, false),
			mem->regions[i].len);
	/* A hole at the end is part of the file only if its length says so. */
	if (!rc && out->file && ftruncate(out->fd, out->at))
		rc = -errno;
	return rc;
}

static int dump_file_open(const struct dump_job *job, char **ret_path)
{
	char stamp[32];
	struct tm tm;

	localtime_r(&job->now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (unsigned i = 0; i <= DUMP_MAX_CLASH; i++) {
		char number[8] = "";
		int fd;

		if (i)
			snprintf(number, sizeof(number), "-%u", i);
		free(*ret_path);
		if (asprintf(ret_path, "%s/%s-%s%s.gcore", job->where, job->prefix, stamp, number) <
		    0) {
			*ret_path = NULL;
			return -ENOMEM;
		}
		fd = open(*ret_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

static int dump_to_file(const struct dump_job *job, char **ret_path)
{
	struct dump_out out = { .job = job, .file = true };
	int rc;

	out.fd = dump_file_open(job, ret_path);
	if (out.fd < 0)
		return out.fd;
	rc = dump_all(&out);
	if (close(out.fd) && !rc)
		rc = -errno;
	if (rc)
		unlink(*ret_path);
	return rc;
}

/* The shell gets no signal mask of ours, and nothing but the pipe and the two outputs. */
static int dump_spawn(const char *command, int input, pid_t *ret_pid)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	rc = posix_spawn(ret_pid, "/bin/sh", &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

/* As long as it takes, within the limit: it may have the file to itself now. */
static int dump_wait_child(const struct dump_job *job, pid_t pid)
{
	enum { STEP_US = 20000 };
	int status;

	for (unsigned us = 0; us < DUMP_STALL_S * 1000000u; us += STEP_US) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPIPE;
		if (ended < 0)
			return -errno; /* the number may be another's by now */
		if (job->must_end(job->ctx))
			break;
		usleep(STEP_US);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return job->must_end(job->ctx) ? -ECANCELED : -ETIMEDOUT;
}

static int dump_to_command(const struct dump_job *job, char **ret_path)
{
	struct dump_out out = { .job = job };
	int pipes[2], rc, ended;
	pid_t pid;

	*ret_path = strdup(job->where);
	if (!*ret_path)
		return -ENOMEM;
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	rc = dump_spawn(job->where + 1, pipes[0], &pid);
	close(pipes[0]);
	if (rc) {
		close(pipes[1]);
		return rc;
	}
	out.fd = pipes[1];
	(void)!fcntl(out.fd, F_SETFL, O_NONBLOCK);
	rc = dump_all(&out);
	close(out.fd);
	if (rc && rc != -EPIPE)
		kill(pid, SIGKILL);
	ended = dump_wait_child(job, pid);
	/* A command may well take the beginning only. */
	return rc && rc != -EPIPE ? rc : ended;
}

int dump_write(const struct dump_job *job, char **ret_path)
{
	*ret_path = NULL;
	return job->where[0] == '|' ? dump_to_command(job, ret_path) : dump_to_file(job, ret_path);
}

void dump_report_note(struct strbuf *notes, const struct strbuf *report)
{
	static const char name[] = "BULKHEAD", zeros[4];
	const Elf64_Nhdr head = { .n_namesz = sizeof(name),
				  .n_descsz = (Elf64_Word)report->len,
				  .n_type = 2 };

	strbuf_add(notes, &head, sizeof(head));
	strbuf_add(notes, name, sizeof(name));
	strbuf_add(notes, zeros, -sizeof(name) % 4);
	strbuf_add(notes, strbuf_text(report), report->len);
	strbuf_add(notes, zeros, -report->len % 4);
}
