# SPDX-License-Identifier: GPL-2.0

FLAVOUR ?= release
KERNEL ?=
KERNEL_OPTION = $(if $(KERNEL),--kernel $(KERNEL))

help:
	@echo 'make demo      see what MADV_RECLAIM_PT gives back, in a virtual machine'
	@echo 'make test      all tests that fit into ten minutes'
	@echo 'make test-all  all tests'
	@echo 'make soak MINUTES=n races against reclaim on the debug kernel, for n minutes'
	@echo 'make bench     what freeing page tables costs, in instructions, against the unpatched kernel'
	@echo 'make shell     a shell in a guest that runs the kernel'
	@echo 'make kernel    build a kernel'
	@echo 'make clean     remove build/ (the cache of kernels and objects stays)'
	@echo
	@echo 'FLAVOUR=release, debug or baseline (without the patches), and KERNEL=version go with shell and kernel.'

demo: setup
	@bench/demo

test: setup
	@tests/run

test-all: setup
	@tests/run --all

soak: setup
	@tests/run --soak $(if $(MINUTES),$(MINUTES),$(error how long? make soak MINUTES=60))

bench: setup
	@bench/cost-compare

shell: setup
	@vm/run $(KERNEL_OPTION) --flavour $(FLAVOUR) --timeout 1000000 --tty -- /bin/bash

kernel: setup
	@vm/kernel $(KERNEL_OPTION) --flavour $(FLAVOUR)

clean:
	rm -rf build

setup:
	@vm/setup

.PHONY: help demo test test-all soak bench shell kernel clean setup
