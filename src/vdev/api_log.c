/* SPDX-License-Identifier: Apache-2.0 */
/* log.h and outpipe.h: messages, the status report, and the end of a start. */
#include "vdev/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vdev/host.h"

/* Of qvm, when there is no other way out than the process's end. */
enum { STATUS_START_FAILED = 64, STATUS_RUN_FAILED = 96 };

/* A control call of the start-up stage, which qvm_fatal leaves by a jump. */
struct vdev_fatal {
	jmp_buf out;
	pthread_t thread;
	struct vdev_instance *vi;
};

static enum log_severity severity_of(unsigned severity)
{
	static const enum log_severity table[] = { LOG_SEV_FATAL,  LOG_SEV_INTERNAL, LOG_SEV_ERROR,
						   LOG_SEV_WARN,   LOG_SEV_INFO,     LOG_SEV_DEBUG,
						   LOG_SEV_VERBOSE };

	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (severity & (1u << i))
			return table[i];
	return LOG_SEV_INFO;
}

static void log_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void log_to(const struct log_sink *sink, enum log_severity severity, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vwrite(sink, severity, fmt, args);
	va_end(args);
}

void vdev_logf(unsigned severity, const vdev_t *vdp, const char *fmt, ...)
{
	struct vdev_instance *vi = vdp ? vdev_instance_of(vdp) : NULL;
	char text[512];
	uint32_t held_back = 0;
	va_list args;

	if (vi && !log_limit_pass(&vi->log_limit, &held_back))
		return;
	if (held_back)
		log_write_suppressed(severity_of(severity), held_back);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	const struct log_sink sink = { .mask = vi ? vi->conf->log.mask : 0,
				       .dest = vi ? (enum log_dest)vi->conf->log.dest
						  : LOG_TO_NONE };

	log_to(vi && vi->conf->log.given ? &sink : NULL, severity_of(severity), "%s: %s",
	       vi ? vi->label : "vdev", text);
}

int fatal_control(struct vdev_instance *vi, vdev_ctrl_options_t ctrl, const char *arg)
{
	struct vdev_fatal here = { .thread = pthread_self(), .vi = vi };
	struct vdev_host *host = vi->host;
	int rc;

	host->fatal = &here;
	if (setjmp(here.out))
		rc = -1;
	else
		rc = vi->vdev.v_factory->control(&vi->vdev, ctrl, arg);
	host->fatal = NULL;
	return rc;
}

/* Ends what is under way: the start, by way of whoever called the vdev, or the process. */
static _Noreturn void fatal_leave(unsigned source, const char *text)
{
	struct vdev_host *host = vdev_host_current();

	if (host && host->fatal && pthread_equal(host->fatal->thread, pthread_self())) {
		(void)qvmx_refuse(&host->fatal->vi->vdev, "%s", text);
		host->fatal->vi->broken = true;
		host->bad_configuration |= source == QLS_CNF;
		longjmp(host->fatal->out, 1);
	}
	log_write(LOG_SEV_FATAL, "%s", text);
	_exit(host && host->running ? STATUS_RUN_FAILED : STATUS_START_FAILED);
}

void qvm_fatal(unsigned source, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fatal_leave(source, text);
}

void qvm_outff(unsigned to, const char *fmt, ...)
{
	char text[512];
	va_list args;

	(void)to;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fatal_leave(QLS_CNF, text);
}

void qvm_outf(unsigned to, const char *fmt, ...)
{
	struct vdev_host *host = vdev_host_current();
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if ((to & OUTAL_FATAL) && host && host->fatal &&
	    pthread_equal(host->fatal->thread, pthread_self()))
		(void)qvmx_refuse(&host->fatal->vi->vdev, "%s", text);
	else
		log_write(severity_of(to), "%s", text);
}

void qvm_report(const char *fmt, ...)
{
	struct vdev_host *host = vdev_host_current();
	char text[512];
	va_list args;

	if (!host || (!host->report && !host->report_to_log))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* Some reports end their lines as printf would. */
	size_t len = strlen(text);

	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	if (host->report)
		strbuf_printf(host->report, "  %s\n", text);
	else
		log_write(LOG_SEV_INFO, "status:   %s", text);
}
