# SPDX-License-Identifier: GPL-2.0

FLAVOUR ?= release
KERNEL ?=
PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man
KERNEL_OPTION = $(if $(KERNEL),--kernel $(KERNEL))

help:
	@echo 'make demo      see what MADV_RECLAIM_PT gives back, in a virtual machine'
	@echo 'make test      all tests that fit into ten minutes'
	@echo 'make test-all  all tests, and the mm selftests of Linux; takes hours'
	@echo 'make soak MINUTES=n races against reclaim on the debug kernel, for n minutes'
	@echo 'make lint      checks of sources and patches; lint-full builds each patch whole, too, for hours'
	@echo 'make bench     what freeing page tables costs, against the unpatched kernel; build/bench/index.html shows it'
	@echo 'make readme-figures puts the figures of make demo and make bench into README.md and Documentation/'
	@echo 'make shell     a shell in a guest that runs the kernel'
	@echo 'make kernel    build a kernel'
	@echo 'make series    the patches for git am, with a cover letter, in build/series'
	@echo 'make import TREE=/path/to/linux    apply the series to a kernel tree of yours'
	@echo 'make deb-kernel CONFIG=/path/to/config    Debian packages of the patched kernel'
	@echo 'make tree      a git tree in linux-VERSION to edit the patches in; make export writes them back'
	@echo 'make install PREFIX=/usr DESTDIR=  library, ptreclaim(8) and manual pages'
	@echo 'make clean     remove build/ (the cache of kernels and objects stays)'
	@echo
	@echo 'KERNEL=version goes with all that is about a kernel, FLAVOUR=release, debug or baseline (without the patches) with'
	@echo 'shell and kernel. test-all tests every version, bench measures all.'

demo: setup
	@bench/demo $(KERNEL_OPTION)

test: setup
	@tests/run $(KERNEL_OPTION)

test-all: setup-all
	@tests/run --all $(KERNEL_OPTION)
	@tests/vmtests $(KERNEL_OPTION)

soak: setup
	@tests/run $(KERNEL_OPTION) --soak $(if $(MINUTES),$(MINUTES),$(error how long? make soak MINUTES=60))

lint: setup-lint
	@tests/lint $(KERNEL_OPTION)

lint-full: setup-lint
	@tests/lint $(KERNEL_OPTION) --full

bench: setup
	@bench/compare

readme-figures:
	@bench/figures

shell: setup
	@vm/run $(KERNEL_OPTION) --flavour $(FLAVOUR) --timeout 1000000 --tty -- /bin/bash

kernel: setup
	@vm/kernel $(KERNEL_OPTION) --flavour $(FLAVOUR)

series: setup
	@vm/series series $(KERNEL_OPTION)

import: setup
	@vm/series import $(KERNEL_OPTION) $(if $(TREE),$(TREE),$(error where to? make import TREE=/path/to/linux))

tree: setup
	@vm/series tree $(KERNEL_OPTION)

export: setup
	@vm/series export $(KERNEL_OPTION)

deb-kernel: setup-deb
	@vm/kernel $(KERNEL_OPTION) --deb $(if $(CONFIG),$(CONFIG),$(error which configuration? make deb-kernel CONFIG=/boot/config-...))

install: setup
	@$(MAKE) -s -C tools/lib/ptreclaim install
	@$(MAKE) -s -C tools/mm/ptreclaim install
	@install -d $(DESTDIR)$(MANDIR)/man2
	@install -m 644 man/madvise-pt-reclaim.2 $(DESTDIR)$(MANDIR)/man2

clean:
	rm -rf build

setup:
	@vm/setup

setup-all:
	@vm/setup all

setup-deb:
	@vm/setup deb

setup-lint:
	@vm/setup lint

.PHONY: help demo test test-all soak lint lint-full bench readme-figures shell kernel series import tree export deb-kernel install \
	clean setup setup-all setup-lint setup-deb
