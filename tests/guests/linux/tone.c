/* SPDX-License-Identifier: Apache-2.0 */
/* tone HERTZ SECONDS: plays a sine on both channels of /dev/dsp, at 44100 samples a second. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/soundcard.h>
#include <unistd.h>

enum { RATE = 44100, AMPLITUDE = 16000 };

static void set(int fd, unsigned long request, int value, const char *what)
{
	int got = value;

	if (ioctl(fd, request, &got) < 0 || got != value) {
		fprintf(stderr, "tone: %s %d is refused (%d)\n", what, value, got);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	double hertz = argc == 3 ? atof(argv[1]) : 0;
	size_t frames = argc == 3 ? (size_t)(atof(argv[2]) * RATE) : 0, size = frames * 4, sent = 0;
	int16_t *samples = malloc(size);
	int fd = open("/dev/dsp", O_WRONLY);

	if (fd < 0 || !samples) {
		perror("/dev/dsp");
		return 1;
	}
	for (size_t i = 0; i < frames; i++)
		samples[2 * i] = samples[2 * i + 1] =
			(int16_t)(AMPLITUDE * sin(2 * M_PI * hertz * (double)i / RATE));
	set(fd, SNDCTL_DSP_SETFMT, AFMT_S16_LE, "format");
	set(fd, SNDCTL_DSP_CHANNELS, 2, "channels");
	set(fd, SNDCTL_DSP_SPEED, RATE, "rate");
	while (sent < size) {
		ssize_t n = write(fd, (char *)samples + sent, size - sent);

		if (n <= 0) {
			perror("write");
			return 1;
		}
		sent += (size_t)n;
	}
	ioctl(fd, SNDCTL_DSP_SYNC, NULL);
	printf("played=%zu\n", frames);
	return 0;
}
