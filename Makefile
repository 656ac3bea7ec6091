# SPDX-License-Identifier: Apache-2.0
# Two commands for everybody: `make demo` and `make test`. The rest is for who builds it.
PREFIX ?= /usr/local
DESTDIR ?=
PYTHON = /usr/bin/python3
# ARCH=aarch64 on a PC: cross-built into build-aarch64.
MACHINE := $(shell uname -m)
ARCH ?= $(MACHINE)
ifeq ($(ARCH),$(MACHINE))
BUILD ?= build
else
BUILD ?= build-$(ARCH)
CROSS = --cross-file $(BUILD).ini
endif

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | packages
	@$(if $(CROSS),tools/cross-file $(BUILD).ini)
	@meson setup $(BUILD) $(CROSS) --prefix $(PREFIX) --buildtype debugoptimized > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# What is missing is installed; what is installed is said.
packages:
	@tools/install-packages

# A stock Debian guest in a VM made by qvm; on a board where this machine has no hardware virtualization.
demo: all
	@$(PYTHON) demo/demo --arch $(ARCH)

# The same machine with you at the guest's console.
shell: all
	@$(PYTHON) demo/demo --arch $(ARCH) --shell

test: packages
	@$(PYTHON) tests/run

# The large counts, in pieces that a later call goes on with.
soak: all
	@$(PYTHON) tests/soak

# qvm beside Debian's QEMU: writes the figures of SPECIFICATION.md. `bench/run --help` has shorter ways.
bench: all
	@$(MAKE) --no-print-directory ARCH=aarch64
	@$(PYTHON) bench/run

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX) && ninja -C $(BUILD)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

format:
	@git ls-files '*.[ch]' ':!tools/vdev-new' | xargs clang-format -i

clean:
	rm -rf build build-asan build-tsan build-aarch64 build-aarch64.ini

.PHONY: all packages demo shell test soak bench install format clean
